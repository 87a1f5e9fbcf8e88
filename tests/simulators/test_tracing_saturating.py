"""Accumulators that saturate, traced: equal to ``Exact`` for any data, and plain sums where bounds prove them right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quaint.numerics import Rounding
from quaint.simulators.tracing_graph import Kind, Untraceable
from traced_kernels import Traced, check, integer

Array = np.ndarray[Any, np.dtype[Any]]
property_test = settings(max_examples=40, derandomize=True, deadline=None, database=None)
WINDOW: dict[str, Any] = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": 1}


@st.composite
def geometries(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Shapes of a map and of filters, and how they slide."""
    group, maps, channels = draw(st.sampled_from([(1, 4, 4), (1, 8, 3), (2, 2, 4), (4, 1, 1), (4, 2, 1)]))
    rank = draw(st.integers(1, 2))
    small = st.lists(st.integers(1, 2), min_size=rank, max_size=rank)
    pads = draw(st.lists(st.integers(0, 2), min_size=2 * rank, max_size=2 * rank))
    given_ = {"strides": draw(small), "pads": pads, "dilations": draw(small), "group": group}
    kernel = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    return (2, group * channels, *[6] * rank), (group * maps, channels, *kernel), given_


@property_test
@given(geometries(), st.sampled_from([8, 16]), st.booleans(), st.integers(0, 1 << 20), st.integers(0, 6))
def test_convolutions(
    geometry: tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], bits: int, relu: bool, seed: int, room: int
) -> None:
    """Limits from those that saturate everywhere to those that never do, and all kinds of them in one layer."""
    shape, filters, window = geometry
    random, half = np.random.default_rng(seed), 1 << (bits - 1)
    x, weight = random.integers(-half, half, shape), random.integers(-half, half, filters)
    start, low, high = random.integers(-half * half, half * half, (3, filters[0]))
    low, high = np.minimum(low, high) << room, np.maximum(low, high) << room

    def layer(k: Any, value: Any) -> Any:
        value = k.clip(value, 0, None) if relu else value
        acc = k.saturating_conv(value, weight, start, low=low, high=high, **window)
        return k.clip(k.shift_right(acc, bits, Rounding.HALF_UP), -half, half - 1)

    check(layer, (integer(bits), x))
    check(lambda k, v: k.saturating_conv(v, weight, start, low=low, high=high, **window), (integer(bits), x >> 2))


@property_test
@given(st.sampled_from([8, 16]), st.integers(0, 1 << 20), st.integers(0, 3))
def test_matrix_products(bits: int, seed: int, room: int) -> None:
    random, half = np.random.default_rng(seed), 1 << (bits - 1)
    x, y = random.integers(-half, half, (3, 5, 7)), random.integers(-half, half, (3, 7, 4))
    start = random.integers(-half * half, half * half, 4)
    low, high = -half * half << room, (half * half << room) - 1
    check(lambda k, a, b: k.saturating_matmul(a, b, start, low=low, high=high), (integer(bits), x), (integer(bits), y))
    for factor in (y[0], y[:1]):
        check(lambda k, v, f=factor: k.saturating_matmul(v, f, start, low=low, high=high), (integer(bits), x))
        check(
            lambda k, v, f=factor: k.saturating_matmul(k.clip(v, 0, None), f, 0, low=low, high=high), (integer(bits), x)
        )


def layer(limit: int, weight: int = 127, start: int = 0) -> Any:
    """A 1x1 convolution of four channels."""
    weights = np.full((4, 4, 1, 1), weight)
    return lambda k, v: k.saturating_conv(v, weights, np.full(4, start), low=-limit, high=limit, **WINDOW)


@pytest.mark.parametrize("fast", [True, False])
def test_what_bounds_prove_is_a_plain_convolution(fast: bool) -> None:
    """Four products of -128 and 127 are -65024, and not one further."""
    x = integer(8), np.full((1, 4, 2, 2), -128)
    assert not Traced(layer(65024), *[x], fast=fast).ops["If"]
    assert Traced(layer(65023), x, fast=fast).ops["If"] == 1
    assert Traced(layer(65024, start=-1), x, fast=fast).ops["If"] == 1
    positive = lambda k, v: layer(65023)(k, k.clip(v, 0, None))  # noqa: E731 - as short as the others
    assert not Traced(positive, x, fast=fast).ops["If"]


def test_the_sum_keeps_the_width_of_the_accumulator() -> None:
    """No matter how long the sum is: it saturates within 20 bits."""
    random = np.random.default_rng(0)
    weight, x = random.integers(-128, 128, (4, 2048, 1, 1)), random.integers(-128, 128, (1, 2048, 1, 2))
    kernel = lambda k, v: k.saturating_conv(v, weight, 0, low=-(1 << 19), high=(1 << 19) - 1, **WINDOW)  # noqa: E731
    traced = Traced(kernel, (integer(8), x))
    assert traced.tensor.kind is Kind.FLOAT32
    assert int(traced.interval.limit) == 1 << 19
    check(kernel, (integer(8), x))


def test_only_data_that_may_saturate_take_the_loop() -> None:
    """The check lets pass what a little less than fills the accumulator, by the norms of window and weights."""
    weight = np.full((1, 100, 1, 1), 100)
    kernel = lambda k, v: k.saturating_conv(v, weight, 0, low=-(1 << 19), high=(1 << 19) - 1, **WINDOW)  # noqa: E731
    for value in (52, 53):  # 100 * 100 * 52 is below 2**19, with 53 it is above
        x = np.full((1, 100, 1, 1), value)
        traced = Traced(kernel, (integer(8), x))
        assert traced.result.item() == min(value * 10000, (1 << 19) - 1)


def test_a_second_look_at_the_sums_of_magnitudes() -> None:
    """Large data under small weights pass by it, though their norms alone do not tell; a sum that swings does not pass."""
    weight = np.array([1] * 50 + [100] * 50).reshape(1, 100, 1, 1)
    kernel = lambda k, v: k.saturating_conv(v, weight, 0, low=-40_000, high=39_999, **WINDOW)  # noqa: E731
    data = (np.arange(100) < 50).reshape(1, 100, 1, 1)
    for x in (120 * data, 120 * data - 7 * ~data, 120 * data + 5 * ~data, 127 * ~data, -128 * ~data):
        check(kernel, (integer(8), x))
    swinging = np.where(np.arange(100) % 2, -100, 100).reshape(1, 100, 1, 1)
    narrow = lambda k, v: k.saturating_conv(v, weight, 0, low=-9_999, high=9_999, **WINDOW)  # noqa: E731
    check(narrow, (integer(8), swinging))


@pytest.mark.parametrize(
    "kernel",
    [
        lambda k, x: k.saturating_conv(
            k.shift_left(x, 40), np.full((1, 4, 1, 1), 1 << 8), 0, low=-(1 << 54), high=1 << 54, **WINDOW
        ),
        lambda k, x: k.saturating_matmul(k.shift_left(x, 40), np.full((2, 2), 1 << 8), 0, low=-(1 << 54), high=1 << 54),
    ],
)
def test_accumulators_beyond_float64_are_refused(kernel: Any) -> None:
    with pytest.raises(Untraceable):
        Traced(kernel, (integer(8), np.zeros((1, 4, 2, 2), np.int64)))
