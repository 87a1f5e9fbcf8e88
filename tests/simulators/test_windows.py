"""Convolution and pooling of ``Exact`` against rational arithmetic and loops (``tests/rational.py``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import rational
from quaint.simulators.exact import Exact
from strategies import integers, same

k = Exact()
LONG = np.iinfo(np.int64)


@st.composite
def windows(draw: st.DrawFn) -> Any:
    """Kernel, strides, pads, dilations and a size of map that they fit, for 1 to 3 spatial axes."""
    rank = draw(st.integers(1, 3))

    def several(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank))

    kernel, strides, dilations = several(1, 3), several(1, 3), several(1, 2)
    pads = [draw(st.integers(0, size - 1)) for size in kernel + kernel]
    size = [d * (n - 1) + 1 + more for n, d, more in zip(kernel, dilations, several(0, 3), strict=True)]
    return kernel, strides, pads, dilations, size


@st.composite
def convolutions(draw: st.DrawFn, transposed: bool) -> Any:
    kernel, strides, pads, dilations, size = draw(windows())
    group, inputs, outputs = (draw(st.integers(1, 3)) for _ in range(3))
    x = draw(integers((draw(st.integers(1, 2)), group * inputs, *size), draw(st.sampled_from([4, 8, 16, 25]))))
    shape = (group * inputs, outputs) if transposed else (group * outputs, inputs)
    weight = draw(integers((*shape, *kernel), draw(st.sampled_from([1, 8, 16, 31]))))
    return x, weight, strides, pads, dilations, group


@given(convolutions(transposed=False))
@settings(max_examples=80)
def test_conv(case: Any) -> None:
    x, weight, strides, pads, dilations, group = case
    result = k.conv(x, weight, strides=strides, pads=pads, dilations=dilations, group=group)
    same(result, rational.conv(x, weight, strides, pads, dilations, group))


@given(convolutions(transposed=True), st.data())
@settings(max_examples=80)
def test_conv_transpose(case: Any, data: st.DataObject) -> None:
    x, weight, strides, pads, dilations, group = case
    more = [data.draw(st.integers(0, stride - 1)) for stride in strides]
    sizes = zip(x.shape[2:], weight.shape[2:], strides, dilations, more, strict=True)
    full = [s * (n - 1) + d * (kernel - 1) + 1 + m for n, kernel, s, d, m in sizes]
    rank = len(full)
    assume(all(size > begin + end for size, begin, end in zip(full, pads[:rank], pads[rank:], strict=True)))
    result = k.conv_transpose(
        x, weight, strides=strides, pads=pads, output_padding=more, dilations=dilations, group=group
    )
    same(result, rational.conv_transpose(x, weight, strides, pads, more, dilations, group))


@pytest.mark.parametrize("value", [3, 1 << 11, 1 << 12, 1 << 26, 1 << 27, 1 << 30])
def test_conv_at_the_limits_of_each_type(value: int) -> None:
    """Odd sums just below and above 2**24 and 2**53: each change of type is exact on both sides."""
    x = np.full((1, 2, 1, 1), value)
    x[0, 1] -= 1
    weight = np.full((1, 2, 1, 1), value - 1)
    result = k.conv(x, weight, strides=[1, 1], pads=[0] * 4, dilations=[1, 1], group=1)
    assert result.item() == value * (value - 1) + (value - 1) ** 2


@given(st.data(), st.sampled_from([4, 8, 12, 27, 30]))
def test_matmul(data: st.DataObject, bits: int) -> None:
    n, inner, m = (data.draw(st.integers(1, 4)) for _ in range(3))
    x, y = data.draw(integers((2, n, inner), bits)), data.draw(integers((inner, m), bits))
    same(k.matmul(x, y), np.matmul(x.astype(object), y.astype(object)))
    batched = np.stack([y, -y])
    same(k.matmul(x, batched), np.matmul(x.astype(object), batched.astype(object)))


@given(windows(), st.booleans(), st.data())
@settings(max_examples=80)
def test_max_pool(window: Any, ceil_mode: bool, data: st.DataObject) -> None:
    kernel, strides, pads, dilations, size = window
    pads = [min(pad, 1) if d > 1 else pad for pad, d in zip(pads, dilations + dilations, strict=True)]
    x = data.draw(integers((1, 2, *size), 8))
    truth = rational.pool(lambda v: max(v, default=LONG.min), x, kernel, strides, pads, dilations, ceil_mode)
    result = k.max_pool(x, kernel_shape=kernel, strides=strides, pads=pads, dilations=dilations, ceil_mode=ceil_mode)
    same(result, truth)


@given(windows(), st.booleans(), st.data())
@settings(max_examples=80)
def test_sum_pool(window: Any, ceil_mode: bool, data: st.DataObject) -> None:
    kernel, strides, pads, _, size = window
    x = data.draw(integers((1, 2, *size), 16))
    truth = rational.pool(sum, x, kernel, strides, pads, [1] * len(kernel), ceil_mode)
    same(k.sum_pool(x, kernel_shape=kernel, strides=strides, pads=pads, ceil_mode=ceil_mode), truth)
