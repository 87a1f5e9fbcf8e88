"""Scales: from the range of a tensor to how integers stand for its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quaint.numerics import FixedPoint, QuantParams, ScaleKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.numerics import QuantSpec

    Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Range:
    """Smallest and largest value of a tensor: float64 scalars, or vectors along the axis of its spec."""

    low: Floats
    high: Floats


def from_range(spec: QuantSpec, seen: Range) -> QuantParams:
    """Parameters that cover a range under a spec.

    Symmetric: ``scale = limit / high`` with the largest magnitude ``limit``; power-of-two scales divide by half the width of
    the integers (127.5 at 8 bits) and round the exponent; fixed-point scales are ``2**-FixedPoint.bits_for(limit)``.
    Asymmetric: the range, widened to hold zero, over the width. A tensor that is always zero gets scale 1, a channel that is
    always zero the least scale of the others, so that it outweighs none of them in the next layer.
    """
    dtype = spec.dtype
    if not spec.symmetric:
        low, high = np.minimum(seen.low, 0), np.maximum(seen.high, 0)
        scale = _single(_filled((high - low) / (dtype.high - dtype.low)))
        return QuantParams(scale, dtype, np.rint(dtype.low - low / scale).astype(np.int64), spec.axis)
    limit = np.maximum(np.abs(seen.low), np.abs(seen.high)) if dtype.signed else np.maximum(seen.high, 0)
    if spec.scale is ScaleKind.FIXED_POINT:
        return QuantParams(np.exp2(-FixedPoint.bits_for(_filled(limit), dtype)), dtype, axis=spec.axis)
    steps = (dtype.high - dtype.low) / 2 if dtype.signed and spec.scale is not ScaleKind.FLOAT else dtype.high
    scale = _single(_filled(limit / steps))
    if spec.scale is not ScaleKind.FLOAT:
        scale = power_of_two(scale, nearest=spec.round_exponent == "nearest")
    return QuantParams(scale, dtype, axis=spec.axis)


def _filled(scale: Floats) -> Floats:
    """Scales with a stand-in for those that are zero."""
    alive = scale[scale > 0]
    return np.asarray(np.where(scale > 0, scale, alive.min() if alive.size else 1.0))


def _single(scale: Floats) -> Floats:
    """Scales as float32 has them, since that is how files store them; so large that products of scales stay normal numbers."""
    return np.asarray(np.maximum(scale, 2.0**-64).astype(np.float32), np.float64)


def power_of_two(scale: Floats, *, nearest: bool = False) -> Floats:
    """The power of two at or above each scale, or the nearest on the logarithmic axis (half up)."""
    if nearest:
        return np.asarray(np.exp2(np.floor(np.log2(scale) + 0.5)))
    mantissa, exponent = np.frexp(scale)
    return np.asarray(np.ldexp(1.0, exponent - (mantissa == 0.5)))
