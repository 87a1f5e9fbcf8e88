"""Integer arithmetic by its definition: Python integers, fractions and loops. The independent truth of the tests."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Array = np.ndarray[Any, np.dtype[Any]]


def round_fraction(x: Fraction, rounding: str) -> int:
    """``x`` rounded; by comparison with the two whole numbers around it."""
    below = x.numerator // x.denominator
    if x == below:
        return below
    above = below + 1
    if rounding == "floor":
        return below
    if rounding == "ceil":
        return above
    if x - below != above - x:
        return below if x - below < above - x else above
    tie = {
        "half_up": above,
        "half_even": below if below % 2 == 0 else above,
        "half_away": above if x > 0 else below,
    }
    return tie[rounding]


def float32(x: Fraction) -> Fraction:
    """``x`` rounded to a float32 within the normal range: 24 significant bits, ties to even."""
    if x == 0:
        return x
    exponent = 0
    while abs(x) >= Fraction(2) ** (exponent + 24):
        exponent += 1
    while abs(x) < Fraction(2) ** (exponent + 23):
        exponent -= 1
    assert -149 < exponent < 104
    unit = Fraction(2) ** exponent
    return round_fraction(x / unit, "half_even") * unit


def elementwise(operation: Callable[..., int], *arrays: Array) -> Array:
    """``operation`` on Python integers, broadcast."""
    return np.frompyfunc(operation, len(arrays), 1)(*(array.astype(object) for array in arrays))


def positions(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All indices of a tensor."""
    return itertools.product(*(range(size) for size in shape))


def conv(
    x: Array, weight: Array, strides: Sequence[int], pads: Sequence[int], dilations: Sequence[int], group: int
) -> Array:
    """ONNX Conv, a term at a time."""
    rank = x.ndim - 2
    out = [
        (x.shape[2 + i] + pads[i] + pads[rank + i] - dilations[i] * (weight.shape[2 + i] - 1) - 1) // strides[i] + 1
        for i in range(rank)
    ]
    result = np.zeros((x.shape[0], weight.shape[0], *out), object)
    for n, m, *place in positions(result.shape):
        first = m // (weight.shape[0] // group) * weight.shape[1]
        total = 0
        for c, *tap in positions(weight.shape[1:]):
            at = [place[i] * strides[i] + tap[i] * dilations[i] - pads[i] for i in range(rank)]
            if all(0 <= at[i] < x.shape[2 + i] for i in range(rank)):
                total += int(x[(n, first + c, *at)]) * int(weight[(m, c, *tap)])
        result[(n, m, *place)] = total
    return result


def conv_transpose(
    x: Array,
    weight: Array,
    strides: Sequence[int],
    pads: Sequence[int],
    output_padding: Sequence[int],
    dilations: Sequence[int],
    group: int,
) -> Array:
    """ONNX ConvTranspose: every input is spread over the output."""
    rank = x.ndim - 2
    out = [
        strides[i] * (x.shape[2 + i] - 1)
        + output_padding[i]
        + dilations[i] * (weight.shape[2 + i] - 1)
        + 1
        - pads[i]
        - pads[rank + i]
        for i in range(rank)
    ]
    inputs, outputs = x.shape[1] // group, weight.shape[1]
    result = np.zeros((x.shape[0], outputs * group, *out), object)
    for n, c, *place in positions(x.shape):
        for m, *tap in positions(weight.shape[1:]):
            at = [place[i] * strides[i] + tap[i] * dilations[i] - pads[i] for i in range(rank)]
            if all(0 <= at[i] < out[i] for i in range(rank)):
                result[(n, c // inputs * outputs + m, *at)] += int(x[(n, c, *place)]) * int(weight[(c, m, *tap)])
    return result


def pool(
    reduce: Callable[[list[int]], int],
    x: Array,
    kernel_shape: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    ceil_mode: bool,
) -> Array:
    """``reduce`` over the true pixels of every window, which ONNX counts from the left border."""
    rank = x.ndim - 2
    starts = []
    for i in range(rank):
        reach, size = dilations[i] * (kernel_shape[i] - 1) + 1, x.shape[2 + i]
        inside = [s for s in range(-pads[i], size + pads[rank + i]) if (s + pads[i]) % strides[i] == 0]
        fitting = [s for s in inside if s + reach <= size + pads[rank + i]]
        if ceil_mode and fitting[-1] + reach < size + pads[rank + i]:
            following = fitting[-1] + strides[i]
            fitting += [following] if following < size else []
        starts.append(fitting)
    result = np.zeros((*x.shape[:2], *(len(s) for s in starts)), object)
    for n, c, *place in positions(result.shape):
        values = []
        for tap in positions(kernel_shape):
            at = [starts[i][place[i]] + tap[i] * dilations[i] for i in range(rank)]
            if all(0 <= at[i] < x.shape[2 + i] for i in range(rank)):
                values.append(int(x[(n, c, *at)]))
        result[(n, c, *place)] = reduce(values)
    return result


def saturated(start: int, products: Any, low: int, high: int) -> int:
    """``start`` and products added one by one, within limits at any time."""
    total = min(max(int(start), int(low)), int(high))
    for product in products:
        total = min(max(total + int(product), int(low)), int(high))
    return total


def saturating_conv(
    x: Array,
    weight: Array,
    start: Array,
    low: Array,
    high: Array,
    *,
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    group: int,
) -> Array:
    """A convolution that saturates after every product: by the kernel's positions, then by the input channels."""
    rank = len(strides)
    x = np.pad(x, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    per_group, channels = len(weight) // group, weight.shape[1]
    extents = [(n - 1) * d + 1 for n, d in zip(weight.shape[2:], dilations, strict=True)]
    steps = [(n - extent) // s + 1 for n, extent, s in zip(x.shape[2:], extents, strides, strict=True)]
    out = np.empty((len(x), len(weight), *steps), object)
    for sample, channel, *place in np.ndindex(*out.shape):
        products = []
        for position in np.ndindex(*weight.shape[2:]):
            at = [o * s + p * d for o, s, p, d in zip(place, strides, position, dilations, strict=True)]
            first = channel // per_group * channels
            products += [
                int(x[(sample, first + c, *at)]) * int(weight[(channel, c, *position)]) for c in range(channels)
            ]
        out[(sample, channel, *place)] = saturated(start[channel], products, low[channel], high[channel])
    return out
