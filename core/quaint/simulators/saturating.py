"""Sums of products in accumulators that saturate after every product, exact on int64 arrays.

A saturated sum differs from the plain one only if some partial sum leaves the limits. The products of one sign bound all
partial sums, so only the few results that may differ are added up product by product.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.simulators import windows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]
    #: Start, lower and upper limit, each laid against the results.
    Accumulator = tuple[Array, Array, Array]

#: How many products are held at a time.
CHUNK = 1 << 22


def _accumulator(start: Array | int, low: Array | int, high: Array | int, count: int, rank: int) -> Accumulator:
    """Constants of ``count`` outputs with ``rank`` axes after theirs; the start is clipped to the limits."""
    start, low, high = (
        np.broadcast_to(np.asarray(constant, np.int64), count).reshape(count, *[1] * rank)
        for constant in (start, low, high)
    )
    return np.clip(start, low, high), low, high


def _accumulated(
    plain: Array, reach: Array, accumulator: Accumulator, length: int, products: Callable[[Array], Array]
) -> Array:
    """The sums.

    Args:
        plain: without start and limits.
        reach: the sums of the products' magnitudes.
        accumulator: start and limits.
        length: how many products each sum has.
        products: those of the sums at some places: from [count, axes] to [count, length], in order.
    """
    windows.sum_dtype(2 * windows.limit(reach))
    start, low, high = accumulator
    risky = (start + (plain + reach) // 2 > high) | (start + (plain - reach) // 2 < low)
    total = plain + start
    places = np.argwhere(risky)
    step = max(1, CHUNK // length)
    for first in range(0, len(places), step):
        part = places[first : first + step]
        where = tuple(part.T)
        value, least, most = (np.broadcast_to(array, total.shape)[where] for array in accumulator)
        for term in np.ascontiguousarray(products(part).T):
            value = np.clip(value + term, least, most)
        total[where] = value
    return total


def matmul(x: Array, y: Array | int, start: Array | int, low: Array | int, high: Array | int) -> Array:
    """``x @ y`` onto ``start``, clipped to ``[low, high]`` after every product; constants lie along the last axis."""
    y = np.asarray(y, np.int64)
    if x.ndim == 1:
        return np.asarray(matmul(x[None], y, start, low, high)[..., 0, :])
    plain, reach = windows.matmul(x, y), windows.matmul(np.abs(x), np.abs(y))
    rows = np.broadcast_to(x, (*plain.shape[:-1], x.shape[-1]))
    columns = np.broadcast_to(y.swapaxes(-1, -2), (*plain.shape[:-2], *y.shape[:-3:-1]))

    def products(places: Array) -> Array:
        *batch, row, column = places.T
        return np.asarray(rows[(*batch, row)] * columns[(*batch, column)])

    return _accumulated(plain, reach, _accumulator(start, low, high, y.shape[-1], 0), x.shape[-1], products)


def conv(
    x: Array,
    weight: Array | int,
    start: Array | int,
    low: Array | int,
    high: Array | int,
    *,
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    group: int,
) -> Array:
    """``windows.conv`` onto ``start``, clipped to ``[low, high]`` after every product; constants lie along the channels.

    The products come in the order of the kernel's positions, the last axis fastest, then of the input channels.
    """
    weight = np.asarray(weight, np.int64)
    plain = windows.conv(x, weight, strides, pads, dilations, group)
    reach = windows.conv(np.abs(x), np.abs(weight), strides, pads, dilations, group)
    maps, channels, *kernel_shape = weight.shape
    rows = np.moveaxis(weight, 1, -1).reshape(maps, -1)
    grouped = windows.bordered(x, pads, 0, np.int64).reshape(len(x), group, channels, *_grown(x, pads))
    grouped = np.moveaxis(grouped, 2, -1)

    def products(places: Array) -> Array:
        sample, channel, *steps = places.T
        taps = [
            grouped[(sample, channel // (maps // group), *_under(steps, strides, position, dilations))]
            for position in np.ndindex(*kernel_shape)
        ]
        return np.asarray(np.concatenate(taps, 1) * rows[channel])

    accumulator = _accumulator(start, low, high, maps, len(kernel_shape))
    return _accumulated(plain, reach, accumulator, math.prod(weight.shape[1:]), products)


def _grown(x: Array, pads: Sequence[int]) -> list[int]:
    """The sizes of a map within its borders."""
    rank = len(pads) // 2
    return [n + begin + end for n, begin, end in zip(x.shape[2:], pads[:rank], pads[rank:], strict=True)]


def _under(
    steps: Sequence[Array], strides: Sequence[int], position: Sequence[int], dilations: Sequence[int]
) -> list[Array]:
    """Where a position of the kernel lies in some windows."""
    return [n * s + p * d for n, s, p, d in zip(steps, strides, position, dilations, strict=True)]
