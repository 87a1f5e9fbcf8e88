"""Windows that slide over maps: convolutions and pooling as sums over the taps of a kernel.

A tap is one position in the kernel; over all windows at once, the values under it are a strided slice of the input. So a
convolution is one matrix product for each tap, without the copies of im2col, for any number of spatial axes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.layers.kernels import window_steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]


def limit(x: Array) -> int:
    """The largest magnitude in ``x``; 0 if it is empty."""
    return max(int(x.max()), -int(x.min())) if x.size else 0


def sum_dtype(bound: int) -> type[np.float32 | np.float64 | np.int64]:
    """The fastest type in which sums of whole numbers are exact, if no partial sum's magnitude passes ``bound``.

    Raises:
        OverflowError: if none is.
    """
    if bound <= 1 << 24:
        return np.float32
    if bound <= 1 << 53:
        return np.float64
    if bound >= 1 << 63:
        raise OverflowError(f"a sum may reach {bound}, which 64 bits do not hold")
    return np.int64


def product_dtype(x: Array, weight: Array, axes: tuple[int, ...]) -> type[np.float32 | np.float64 | np.int64]:
    """``sum_dtype`` of the products of ``x`` and ``weight``, summed over ``axes`` of ``weight``."""
    terms = math.prod(weight.shape[axis] for axis in axes)
    bound = limit(weight) * terms
    if bound < 1 << 63:  # then the magnitudes can be added up in 64 bits
        bound = limit(np.abs(weight).sum(axes))
    return sum_dtype(limit(x) * bound)


def matmul(x: Array, y: Array) -> Array:
    """``x @ y`` of int64 arrays, exact."""
    dtype = product_dtype(x, y, (-2,) if y.ndim > 1 else (-1,))
    product: Array = np.matmul(x.astype(dtype), y.astype(dtype))
    return product.astype(np.int64)


def bordered(x: Array, pads: Sequence[int], value: Array | int, dtype: type) -> Array:
    """``x`` as ``dtype`` within borders of ``value``; ``pads`` (all begins, then all ends) of the last axes."""
    rank = len(pads) // 2
    begins, ends = pads[:rank], pads[rank:]
    spatial = x.shape[x.ndim - rank :]
    if not any(pads):
        return x.astype(dtype)
    shape = [b + n + e for b, n, e in zip(begins, spatial, ends, strict=True)]
    out = np.empty((*x.shape[: x.ndim - rank], *shape), dtype)
    out[...] = value
    inside: tuple[Any, ...] = (..., *(slice(b, b + n) for b, n in zip(begins, spatial, strict=True)))
    out[inside] = x
    return out


def taps(
    kernel_shape: Sequence[int], strides: Sequence[int], dilations: Sequence[int], steps: Sequence[int]
) -> Iterator[tuple[Any, ...]]:
    """For each position in the kernel, the index of what lies under it in ``steps`` windows."""
    for position in np.ndindex(*kernel_shape):
        starts = [p * d for p, d in zip(position, dilations, strict=True)]
        yield ..., *(slice(a, a + (n - 1) * s + 1, s) for a, n, s in zip(starts, steps, strides, strict=True))


def _steps(
    size: Sequence[int], kernel_shape: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """How many windows fit along each axis."""
    reach = _extents(kernel_shape, dilations)
    return [window_steps(n, e, s, 0, 0, ceil_mode=False) for n, e, s in zip(size, reach, strides, strict=True)]


def _extents(kernel_shape: Sequence[int], dilations: Sequence[int]) -> list[int]:
    """How far a dilated kernel reaches."""
    return [(k - 1) * d + 1 for k, d in zip(kernel_shape, dilations, strict=True)]


def _tap_weights(weight: Array, group: int) -> Array:
    """[A, B, ...] as a matrix [group, A / group, B] for each tap."""
    first, second = weight.shape[:2]
    matrices = weight.reshape(group, first // group, second, -1)
    return np.ascontiguousarray(np.moveaxis(matrices, -1, 0))


def conv(
    x: Array, weight: Array, strides: Sequence[int], pads: Sequence[int], dilations: Sequence[int], group: int
) -> Array:
    """Cross-correlation of int64 arrays, exact: [N, C, ...] with [M, C / group, ...]."""
    dtype = product_dtype(x, weight, tuple(range(1, weight.ndim)))
    x = bordered(x, pads, 0, dtype)
    steps = _steps(x.shape[2:], weight.shape[2:], strides, dilations)
    batch, (maps, channels) = len(x), weight.shape[:2]
    combine = np.multiply if channels == 1 else np.matmul  # depthwise: nothing to sum within a tap
    total = np.zeros((batch, group, maps // group, math.prod(steps)), dtype)
    matrices = _tap_weights(weight, group).astype(dtype)
    for matrix, tap in zip(matrices, taps(weight.shape[2:], strides, dilations, steps), strict=True):
        total += combine(matrix, x[tap].reshape(batch, group, channels, math.prod(steps)))
    return total.reshape(batch, maps, *steps).astype(np.int64)


def conv_transpose(
    x: Array,
    weight: Array,
    strides: Sequence[int],
    pads: Sequence[int],
    output_padding: Sequence[int],
    dilations: Sequence[int],
    group: int,
) -> Array:
    """Transposed convolution of int64 arrays, exact: [N, C, ...] with [C, M / group, ...]."""
    matrices = _tap_weights(weight, group)
    dtype = product_dtype(x, matrices, (0, 2))
    batch, channels, *steps = x.shape
    maps, rank = weight.shape[1], len(steps)
    reach = _extents(weight.shape[2:], dilations)
    full = [(n - 1) * s + e + more for n, s, e, more in zip(steps, strides, reach, output_padding, strict=True)]
    total = np.zeros((batch, group * maps, *full), dtype)
    x = x.astype(dtype).reshape(batch, group, channels // group, math.prod(steps))
    transposed = matrices.astype(dtype).swapaxes(-1, -2)
    for matrix, tap in zip(transposed, taps(weight.shape[2:], strides, dilations, steps), strict=True):
        total[tap] += (matrix @ x).reshape(batch, group * maps, *steps)
    crop = zip(pads[:rank], pads[rank:], full, strict=True)
    kept: tuple[Any, ...] = (..., *(slice(begin, size - end) for begin, end, size in crop))
    return np.asarray(total[kept], np.int64)


def pool(
    combine: np.ufunc,
    x: Array,
    border: int,
    kernel_shape: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    ceil_mode: bool,
) -> Array:
    """``combine`` (add, maximum) over each window of an int64 array; borders hold ``border``."""
    rank, spatial, reach = len(kernel_shape), x.shape[2:], _extents(kernel_shape, dilations)
    steps = [
        window_steps(n, e, s, begin, end, ceil_mode=ceil_mode)
        for n, e, s, begin, end in zip(spatial, reach, strides, pads[:rank], pads[rank:], strict=True)
    ]
    ends = [  # in ceil mode the last window may reach past the border
        max((count - 1) * s + e - n - begin, 0)
        for count, s, e, n, begin in zip(steps, strides, reach, spatial, pads[:rank], strict=True)
    ]
    x = bordered(x, [*pads[:rank], *ends], border, np.int64)
    total = np.full((*x.shape[:2], *steps), border)
    for tap in taps(kernel_shape, strides, dilations, steps):
        combine(total, x[tap], out=total)
    return total
