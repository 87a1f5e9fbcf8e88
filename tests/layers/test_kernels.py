"""Kernels in exact arithmetic against formulas in Python integers and floats."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rational
from quaint.layers import kernels
from quaint.layers.kernels import KERNELS, window_counts
from quaint.numerics import Rounding
from quaint.simulators.exact import Exact

Array = np.ndarray[Any, np.dtype[Any]]

k = Exact()
RANGE = {"low": -128, "high": 127}
int8 = st.integers(-128, 127)
SPATIAL: dict[str, Any] = {"strides": [1, 1], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1}


def maps(*shape: int) -> st.SearchStrategy[Array]:
    return hnp.arrays(np.int64, shape, elements=int8)


def saturated(x: Fraction, rounding: Rounding, zero_point: int = 0) -> int:
    return min(max(rational.round_fraction(x, rounding) + zero_point, -128), 127)


def test_kernels_are_known_by_their_names() -> None:
    for name, kernel in KERNELS.items():
        assert getattr(kernels, name) is kernel


@given(
    hnp.arrays(np.int64, (1, 2, 3), elements=st.integers(-(2**31), 2**31)),
    hnp.arrays(np.int64, 2, elements=st.integers(1, 2**31 - 1)),
    hnp.arrays(np.int64, 2, elements=st.integers(20, 60)),
    st.sampled_from(Rounding),
)
def test_requantize_by_an_integer(x: Array, multiplier: Array, shift: Array, rounding: Rounding) -> None:
    result = kernels.requantize(k, x, multiplier=multiplier, shift=shift, rounding=rounding, zero_point=-3, **RANGE)
    for _, c, i in np.ndindex(x.shape):
        exact = Fraction(int(x[0, c, i]) * int(multiplier[c]), 2 ** int(shift[c]))
        assert result[0, c, i] == saturated(exact, rounding, -3)


@given(maps(1, 2, 3), st.floats(2.0**-10, 2.0, width=32))
def test_requantize_by_a_float(x: Array, factor: float) -> None:
    multiplier = np.array([factor, 1.0], np.float32)
    result = kernels.requantize(k, x, multiplier=multiplier, input_zero_point=4, zero_point=7, **RANGE)
    truth = np.clip(np.rint((x - 4).astype(np.float32) * multiplier.reshape(1, 2, 1)) + 7, -128, 127)
    np.testing.assert_array_equal(result, truth)


@given(maps(1, 2, 4, 4), maps(3, 2, 3, 3), st.integers(-5, 5))
def test_conv(x: Array, weight: Array, zero_point: int) -> None:
    """The border holds real zero, which is the input's zero point."""
    bias = np.array([100, -200, 3])
    result = kernels.conv(
        k, x, weight=weight.astype(np.int8), bias=bias, input_zero_point=zero_point, shift=6, **SPATIAL, **RANGE
    )
    spatial = {name: SPATIAL[name] for name in ("strides", "pads", "dilations", "group")}
    acc = rational.conv(x - zero_point, weight, **spatial) + bias.reshape(1, 3, 1, 1)
    for place in np.ndindex(result.shape):
        assert result[place] == saturated(Fraction(acc[place], 64), Rounding.HALF_EVEN)


@given(maps(1, 2, 3, 3), maps(2, 3, 2, 2), st.integers(-5, 5))
def test_conv_transpose(x: Array, weight: Array, zero_point: int) -> None:
    spatial = {"strides": [2, 2], "pads": [0, 0, 0, 0], "output_padding": [1, 0], "dilations": [1, 1], "group": 1}
    bias, shift = np.array([100, -200, 3]), np.array([5, 6, 7])
    result = kernels.conv_transpose(
        k, x, weight=weight, bias=bias, input_zero_point=zero_point, shift=shift, **spatial, **RANGE
    )
    acc = rational.conv_transpose(x - zero_point, weight, **spatial) + bias.reshape(1, 3, 1, 1)
    for place in np.ndindex(result.shape):
        exact = Fraction(acc[place], 2 ** int(shift[place[1]]))
        assert result[place] == saturated(exact, Rounding.HALF_EVEN)


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 4)])
def test_gemm(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, weight, bias = rng.integers(-128, 128, shape), rng.integers(-128, 128, (4, 5)), np.arange(5) * 100
    shift = np.array([6, 7, 8, 9, -1])
    result = kernels.gemm(k, x, weight=weight, bias=bias, shift=shift, input_zero_point=3, rounding="floor", **RANGE)
    acc = (x - 3) @ weight + bias
    np.testing.assert_array_equal(result, np.clip(np.floor(acc / 2.0**shift), -128, 127))


@given(maps(1, 2, 3), maps(1, 2, 3), st.sampled_from(Rounding))
def test_add(x: Array, y: Array, rounding: Rounding) -> None:
    result = kernels.add(
        k, x, y, x_multiplier=3, y_multiplier=5, x_zero_point=1, y_zero_point=-2, shift=3, rounding=rounding, **RANGE
    )
    truth = rational.elementwise(lambda a, b: saturated(Fraction(3 * (a - 1) + 5 * (b + 2), 8), rounding), x, y)
    np.testing.assert_array_equal(result, truth)


@given(maps(1, 2, 3), maps(1, 2, 1), st.sampled_from(Rounding))
def test_multiply(x: Array, y: Array, rounding: Rounding) -> None:
    result = kernels.multiply(k, x, y, x_zero_point=1, y_zero_point=-2, shift=4, rounding=rounding, **RANGE)
    truth = rational.elementwise(lambda a, b: saturated(Fraction((a - 1) * (b + 2), 16), rounding), x, y)
    np.testing.assert_array_equal(result, truth)


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_average_pool_without_its_borders(ceil_mode: bool) -> None:
    """A multiplier for each position, from ``window_counts``, gives the mean over true pixels."""
    x = np.random.default_rng(0).integers(-128, 128, (1, 2, 6, 5))
    window: dict[str, Any] = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}
    counts = window_counts((6, 5), **window, ceil_mode=ceil_mode)
    result = kernels.average_pool(
        k, x, **window, ceil_mode=ceil_mode, multiplier=np.rint(2**30 / counts).astype(np.int64), shift=30, **RANGE
    )
    truth = rational.pool(
        lambda v: rational.round_fraction(Fraction(sum(v) * round(Fraction(2**30, len(v))), 2**30), "half_even"),
        x, window["kernel_shape"], window["strides"], window["pads"], [1, 1], ceil_mode,
    )  # fmt: skip
    np.testing.assert_array_equal(result, truth)


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 4), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_window_counts(size: int, kernel: int, stride: int, begin: int, end: int, ceil_mode: bool) -> None:
    begin, end = min(begin, kernel - 1), min(end, kernel - 1)
    if size + begin + end < kernel:
        return
    ones = np.ones((1, 1, size), np.int64)
    truth = rational.pool(sum, ones, [kernel], [stride], [begin, end], [1], ceil_mode)
    np.testing.assert_array_equal(
        window_counts([size], [kernel], [stride], [begin, end], ceil_mode=ceil_mode), truth[0, 0]
    )


def test_global_average_pool() -> None:
    x = np.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    result = kernels.global_average_pool(k, x, input_zero_point=8, shift=4, rounding="half_up", **RANGE)
    np.testing.assert_array_equal(result, np.floor(x.mean((2, 3), keepdims=True) - 8 + 0.5))


def test_max_pool() -> None:
    x = np.arange(16).reshape(1, 1, 4, 4) - 100
    result = kernels.max_pool(
        k, x, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1], dilations=[1, 1], ceil_mode=True
    )
    np.testing.assert_array_equal(result[0, 0] + 100, [[5, 7], [13, 15]])


def test_movement() -> None:
    x = np.arange(-4, 4).reshape(1, 2, 4)
    np.testing.assert_array_equal(kernels.clip(k, x, low=-1, high=2), np.clip(x, -1, 2))
    np.testing.assert_array_equal(kernels.lookup(k, x, table=np.arange(256)[::-1]), 127 - x)
    np.testing.assert_array_equal(kernels.concat(k, x, x, axis=2), np.tile(x, 2))
    np.testing.assert_array_equal(kernels.reshape(k, x, shape=[0, -1]), x.reshape(1, 8))
    np.testing.assert_array_equal(kernels.transpose(k, x, perm=[0, 2, 1]), x.swapaxes(1, 2))


@given(hnp.arrays(np.float32, (1, 2, 3), elements=st.floats(-100, 100, width=32)))
def test_edges(x: Array) -> None:
    """Through the integers and back: off by half a step where nothing saturates."""
    scale, zero_point = np.array([0.25, 1.0], np.float32), np.array([0, 3])
    q = kernels.input_quantizer(k, x, factor=1 / scale, zero_point=zero_point, low=-512, high=511, rounding="half_even")
    divided = kernels.input_quantizer(
        k, x, factor=scale, zero_point=zero_point, low=-512, high=511, rounding="half_even", divide=True
    )
    np.testing.assert_array_equal(q, divided)
    back = kernels.dequantizer(k, q, scale=scale, zero_point=zero_point)
    assert (np.abs(back - x) <= scale.reshape(1, 2, 1) / 2).all()
