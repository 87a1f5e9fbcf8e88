"""How the chips add up products: written from the runtime's arithmetic, with no look at Quaint's kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def accumulated(values: Array, weight: Array, start: Array, *, narrow: bool, depthwise: bool) -> Array:
    """``start`` and products, in order.

    Args:
        values: [..., T], or [..., M, T] if ``depthwise``.
        weight: [M, T].
        start: [M].
        narrow: as the S3 does at 8 bits: 16 filters at a time in 20 bits that saturate; what is left, if not depthwise, in 40.
        depthwise: each channel has a filter of its own.
    """
    if not narrow:
        factors = values.astype(np.float64), weight.astype(np.float64)
        sums = (factors[0] * factors[1]).sum(-1) if depthwise else factors[0] @ factors[1].T
        assert np.abs(sums).max(initial=0) < 2**53
        return np.asarray(sums.astype(np.int64) + start)
    bits = np.full(len(weight), 20)
    if not depthwise:
        bits[len(weight) // 16 * 16 :] = 40
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    total = np.clip(start, low, high)
    for t in range(weight.shape[1]):
        value = values[..., t] if depthwise else values[..., t, None]
        total = np.clip(total + value * weight[:, t], low, high)
    return np.asarray(total)
