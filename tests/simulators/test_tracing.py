"""Operations traced to ONNX equal ``Exact``, whatever the widths; and each is emitted as cheaply as bounds allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layer_models import numbers
from quaint.numerics import IntType, Rounding
from quaint.simulators.tracing_graph import Kind, Untraceable
from traced_kernels import Traced, check, integer

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, np.dtype[Any]]

ROUNDINGS = st.sampled_from(Rounding)
property_test = settings(max_examples=80, derandomize=True, deadline=None, database=None)


@st.composite
def tensors(draw: st.DrawFn, shape: tuple[int, ...] = (2, 4, 3, 3)) -> tuple[IntType, Array]:
    dtype = integer(draw(st.sampled_from([4, 8, 16, 23, 24, 25, 32, 48, 54, 60])), signed=draw(st.booleans()))
    return dtype, numbers(np.random.default_rng(draw(st.integers(0, 1 << 20))), dtype, shape).astype(np.int64)


@property_test
@given(tensors(), st.lists(st.integers(-2, 70), min_size=4, max_size=4), ROUNDINGS)
def test_shift_right(x: tuple[IntType, Array], bits: list[int], rounding: Rounding) -> None:
    check(lambda k, v: k.shift_right(v, np.array(bits), rounding, axis=1), x)
    check(lambda k, v: k.clip(k.add(k.shift_right(v, bits[0], rounding), 3), -9, 100), x)
    limits = np.array([1, 1 << 10, 1 << 30, 1 << 40])
    check(lambda k, v: k.clip(k.shift_right(v, 2, rounding), -limits, limits, axis=1), x)


@property_test
@given(tensors(), st.lists(st.integers(1, 1 << 20), min_size=4, max_size=4), ROUNDINGS)
def test_divide(x: tuple[IntType, Array], divisors: list[int], rounding: Rounding) -> None:
    check(lambda k, v: k.divide(v, np.array(divisors), rounding, axis=1), x)
    check(lambda k, v: k.add(k.divide(v, divisors[0], rounding), 1), x)


@property_test
@given(tensors(), st.integers(2, 60))
def test_wrap(x: tuple[IntType, Array], bits: int) -> None:
    check(lambda k, v: k.wrap(v, bits), x)


@property_test
@given(tensors(), tensors((2, 4, 1, 3)))
def test_two_tensors(x: tuple[IntType, Array], y: tuple[IntType, Array]) -> None:
    for operation in ("add", "subtract", "multiply"):
        check(lambda k, a, b, operation=operation: getattr(k, operation)(a, b), x, y)
    check(lambda k, a, b: k.maximum(a, k.add(b, k.multiply(a, 0))), x, y)
    check(lambda k, a, b: k.concat([a, b, a], 2), x, y)


@property_test
@given(tensors(), st.lists(st.integers(-(1 << 34), 1 << 34), min_size=4, max_size=4))
def test_constants_by_channel(x: tuple[IntType, Array], constants: list[int]) -> None:
    c = np.array(constants)
    check(lambda k, v: k.add(v, c, axis=1), x)
    check(lambda k, v: k.clip(k.subtract(k.multiply(v, c, axis=1), c, axis=1), c - 7, None, axis=1), x)
    check(lambda k, v: k.clip(v, np.minimum(c, 0), np.abs(c), axis=1), x)
    check(lambda k, v: k.shift_left(v, np.abs(c) % 9, axis=1), x)
    check(lambda k, v: k.pad(v, [1, 0, 0, 2], c, axis=1), x)
    check(lambda k, v: k.multiply(v, np.arange(9).reshape(3, 3)), x)


@property_test
@given(tensors((2, 1, 3, 3)), ROUNDINGS)
def test_constants_that_make_a_tensor_grow(x: tuple[IntType, Array], rounding: Rounding) -> None:
    c = np.array([1, 5, 2, 3])
    check(lambda k, v: k.clip(k.add(v, c, axis=1), -c, 90, axis=1), x)
    check(lambda k, v: k.shift_right(k.multiply(v, c, axis=1), 2, rounding), x)
    check(lambda k, v: k.add(v, 0 * c, axis=1), x)
    check(lambda k, v: k.shift_right(v, c, rounding, axis=1), x)
    check(lambda k, v: k.divide(v, c, rounding, axis=1), x)
    check(lambda k, v: k.scale_float32(v, c.astype(np.float32), rounding, axis=1), x)


@property_test
@given(tensors((2, 3, 5)), tensors((2, 5, 4)))
def test_matrix_products(x: tuple[IntType, Array], y: tuple[IntType, Array]) -> None:
    check(lambda k, a, b: k.matmul(a, b), x, y)
    check(lambda k, a: k.shift_right(k.add(k.matmul(a, y[1][0]), 5), 3, Rounding.HALF_UP), x)


@property_test
@given(tensors(), st.sampled_from([(1,), (2, 3), (1, 2, 3)]), st.booleans(), st.integers(0, 1 << 20))
def test_sums(x: tuple[IntType, Array], axes: tuple[int, ...], keepdims: bool, limit: int) -> None:
    check(lambda k, v: k.sum(v, axes, keepdims=keepdims), x)
    check(lambda k, v: k.saturating_sum(v, axes, -limit, limit // 2 + 1, keepdims=keepdims), x)


@property_test
@given(tensors(), st.lists(st.floats(2**-20, 2**20, width=32), min_size=4, max_size=4), ROUNDINGS)
def test_scale_float32(x: tuple[IntType, Array], factors: list[float], rounding: Rounding) -> None:
    factor = np.array(factors, np.float32)
    check(lambda k, v: k.clip(k.scale_float32(v, factor, rounding, axis=1), -1000, 1000), x)
    check(lambda k, v: k.add(k.scale_float32(v, factor[:1], rounding), -7), x)


@property_test
@given(tensors((2, 4, 4)))
def test_movement(x: tuple[IntType, Array]) -> None:
    check(lambda k, v: k.transpose(k.reshape(v, [0, 2, 2, -1]), [0, 3, 1, 2]), x)
    check(lambda k, v: k.clip(k.reshape(k.clip(v, -5, 500), [-1, 16]), 0, None), x)
    for indices in ([0], [3], [1, 2], [0, 2], [3, 2, 1], [2, 2], [1, 0, 3]):
        check(lambda k, v, places=indices: k.gather(k.clip(v, -5, 500), places, -1), x)


WINDOW = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": 1}


def convolved(weight: int, bias: int, terms: int = 4) -> Callable[..., Any]:
    """A 1x1 convolution with equal weights."""
    weights, biases = np.full((4, terms, 1, 1), weight), np.full(4, bias)
    return lambda k, x: k.add(k.conv(x, weights, **WINDOW), biases, axis=1)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(("bias", "kind"), [(0, Kind.FLOAT32), (1, Kind.FLOAT64)])
def test_float32_up_to_2_to_24_and_not_one_further(bias: int, kind: Kind, fast: bool) -> None:
    """Four products of 2**15 and 2**7 are 2**24."""
    x = np.full((1, 4, 2, 2), -(1 << 15))
    traced = Traced(convolved(1 << 7, -bias), (integer(16), x), fast=fast)
    assert traced.tensor.kind is kind
    assert (traced.result == -(1 << 24) - bias).all()
    assert traced.ops["Conv"] == 1


def test_wide_numbers_are_split_in_as_few_parts_as_will_do() -> None:
    rng = np.random.default_rng(0)
    x, weight = numbers(rng, integer(16), (2, 8, 5, 5)).astype(np.int64), numbers(rng, integer(16), (4, 8, 3, 3))
    traced = Traced(lambda k, v: k.conv(v, weight, **WINDOW), (integer(16), x))
    assert 2 <= traced.ops["Conv"] <= 4
    check(lambda k, v: k.conv(v, weight, **WINDOW), (integer(16), x))


def test_long_sums_are_split() -> None:
    weight = np.full((4, 2048, 1, 1), 127)
    x = np.full((1, 2048, 1, 2), 127)
    kernel = lambda k, v: k.conv(v, weight, **WINDOW)  # noqa: E731 - as short as the others
    assert Traced(kernel, (integer(8), x)).ops["Conv"] == 2
    check(kernel, (integer(8), x))


def test_what_bounds_prove_void_is_left_out() -> None:
    x = integer(8), np.arange(-8, 8).reshape(1, 4, 2, 2)
    assert not Traced(lambda k, v: k.wrap(k.clip(v, -200, 127), 8), x).ops.keys() - {"Cast"}
    twice = Traced(lambda k, v: k.clip(k.clip(v, -5, 100), 0, 7), x)
    assert twice.ops["Clip"] == 1
    assert Traced(lambda k, v: k.saturating_sum(v, [1, 2], -1024, 1016, keepdims=False), x).ops["ReduceSum"] == 1


def test_shifts_fold_into_convolutions() -> None:
    x = integer(8), np.arange(-8, 8).reshape(1, 4, 2, 2)
    layer = lambda k, v: k.clip(k.shift_right(convolved(3, 5)(k, v), 2, Rounding.HALF_EVEN), 0, 90)  # noqa: E731
    ops = Traced(layer, x).ops
    assert ops == {"Cast": 2, "Conv": 3, "Relu": 2}  # a convolution, and two that round in the blocked layout
    plain = Traced(layer, x, fast=False).ops
    assert (plain["Conv"], plain["Round"], plain["Clip"]) == (1, 1, 1)


def test_no_optimizer_scales_weights_by_what_scales_the_sum() -> None:
    """Onnxruntime would multiply these weights by the factor, were there nothing in between."""
    rng = np.random.default_rng(1)
    weight, x = rng.integers(-128, 128, (8, 16, 3, 3)), rng.integers(-128, 128, (2, 16, 9, 9))
    factor = rng.uniform(0.001, 0.002, 8).astype(np.float32)
    bias = rng.integers(-999, 999, 8)
    check(
        lambda k, v: k.scale_float32(
            k.add(k.conv(v, weight, **WINDOW), bias, axis=1), factor, Rounding.HALF_EVEN, axis=1
        ),
        (integer(8), x),
    )


@pytest.mark.parametrize(
    "kernel",
    [
        lambda k, x: k.multiply(k.multiply(x, 1 << 31), 1 << 31),
        lambda k, x: k.sum(x, [0], keepdims=False),
        lambda k, x: k.lookup(x, np.arange(100), 0),
        lambda k, x: k.scale_float32(x, np.array([3e38], np.float32), Rounding.FLOOR),
        lambda k, x: k.max_pool(
            k.shift_left(x, 50), kernel_shape=[1, 1], strides=[1, 1], pads=[0] * 4, dilations=[1, 1], ceil_mode=False
        ),
    ],
)
def test_what_has_no_exact_form_is_refused(kernel: Callable[..., Any]) -> None:
    with pytest.raises(Untraceable):
        Traced(kernel, (integer(8), np.zeros((1, 4, 2, 2), np.int64)))
