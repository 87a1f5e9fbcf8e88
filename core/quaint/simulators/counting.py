"""Exact arithmetic that tells where values saturate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.simulators.exact import Exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]


class Counting(Exact):
    """Exact arithmetic that counts, at each step that saturates, how many values it changes."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int, int]] = []

    def clip(self, x: Array, low: Array | int | None, high: Array | int | None, *, axis: int | None = None) -> Array:
        """As ``Exact``; bounds that are not those of an integer type are no saturation."""
        made = super().clip(x, low, high, axis=axis)
        bits = _bits(low, high)
        if bits is not None:
            self._count(bits, made != x)
        return made

    def wrap(self, x: Array, bits: int) -> Array:
        """As ``Exact``."""
        made = super().wrap(x, bits)
        self._count(bits, made != x)
        return made

    def saturating_sum(self, x: Array, axes: Sequence[int], low: int, high: int, *, keepdims: bool) -> Array:
        """As ``Exact``."""
        made = super().saturating_sum(x, axes, low, high, keepdims=keepdims)
        self._count(int(high).bit_length() + 1, made != super().sum(x, axes, keepdims=keepdims))
        return made

    def _count(self, bits: int, changed: Array) -> None:
        self.steps.append((bits, int(np.count_nonzero(changed)), changed.size))


def _bits(low: Any, high: Any) -> int | None:
    """Bits of the signed integers from ``low`` to ``high``; None where these are no such type's."""
    if not isinstance(low, int) or not isinstance(high, int) or low != -high - 1 or high & (high + 1):
        return None
    return high.bit_length() + 1
