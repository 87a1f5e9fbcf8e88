"""Mantissas and shifts after a convolution: in float32 where that is proven, and the integers of ``Exact`` for every sum."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quaint.numerics import Rounding
from quaint.simulators.exact import Exact
from quaint.simulators.tracing_graph import Kind
from quaint.simulators.tracing_steps import Line, Stairs
from traced_kernels import Traced, check, integer

if TYPE_CHECKING:
    from collections.abc import Callable

CHANNELS = 4
WINDOW = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": CHANNELS}
#: Every number of 16 bits, in every channel.
ALL = np.broadcast_to(np.arange(-(1 << 15), 1 << 15).reshape(1, 1, 256, 256), (1, CHANNELS, 256, 256))

property_test = settings(max_examples=150, derandomize=True, deadline=None, database=None)


def vectors(low: int, high: int) -> st.SearchStrategy[np.ndarray[Any, np.dtype[np.int64]]]:
    return st.lists(st.integers(low, high), min_size=CHANNELS, max_size=CHANNELS).map(np.array)


@st.composite
def scalings(draw: st.DrawFn) -> Callable[..., Any]:
    """A depthwise convolution of one tap, so that the sums are known, then all that may follow."""
    weight, bias = draw(vectors(-5, 5)).reshape(CHANNELS, 1, 1, 1), draw(vectors(-(1 << 17), 1 << 17))
    bounds = draw(st.none() | st.tuples(vectors(-(1 << 16), 0), vectors(0, 1 << 17)) | st.just((0, 1 << 14)))
    mantissa = draw(vectors(1, draw(st.sampled_from([15, 255, 1 << 12, 1 << 20]))))
    shift, rounding = draw(vectors(-3, draw(st.sampled_from([12, 18, 26, 34])))), draw(st.sampled_from(Rounding))
    after, offset = (
        draw(st.sampled_from([0, 0, 77, -(1 << 12)])),
        draw(st.sampled_from([0, -128, 1000]) | vectors(-5, 5)),
    )
    low, high = draw(st.sampled_from([(-128, 127), (0, 127), (0, 255), (0, 15), (-8, 7), (None, 127), (-1024, 1023)]))

    def kernel(k: Any, x: Any) -> Any:
        sums = k.add(k.conv(x, weight, **WINDOW), bias, axis=1)
        if bounds is not None:
            sums = k.clip(sums, *bounds, axis=1)
        product = k.add(k.multiply(sums, mantissa, axis=1), after)
        return k.clip(k.add(k.shift_right(product, shift, rounding, axis=1), offset, axis=1), low, high)

    return kernel


@property_test
@given(scalings(), st.sampled_from([4, 8, 16]), st.booleans())
def test_every_sum_gives_the_integer_of_exact(kernel: Callable[..., Any], bits: int, signed: bool) -> None:
    dtype = integer(bits, signed=signed)
    check(kernel, (dtype, np.clip(ALL, dtype.low, dtype.high)))


@property_test
@given(vectors(128, 255), vectors(10, 16), st.booleans())
def test_eight_bits_stay_in_float32(mantissa: Any, shift: Any, rectified: bool) -> None:
    """An output of 8 bits from a mantissa of 8, as chips have it."""
    weight, low = np.full((CHANNELS, 1, 1, 1), 3), 0 if rectified else -128
    x = integer(16), ALL

    def kernel(k: Any, x: Any) -> Any:
        product = k.multiply(k.clip(k.conv(x, weight, **WINDOW), 0 if rectified else None, None), mantissa, axis=1)
        return k.clip(k.shift_right(product, shift, Rounding.HALF_UP, axis=1), low, 127)

    traced = Traced(kernel, x)
    assert traced.tensor.kind is Kind.FLOAT32
    assert set(traced.ops) == {"Cast", "Conv", "Clip"}
    assert traced.ops["Conv"] == 4
    np.testing.assert_array_equal(traced.result, kernel(Exact(), ALL))


def test_a_bound_for_each_channel() -> None:
    weight, bound = np.ones((CHANNELS, 1, 1, 1), np.int64), np.array([5000, 9000, 20000, 30000])

    def kernel(k: Any, x: Any) -> Any:
        sums = k.clip(k.conv(x, weight, **WINDOW), 0, bound, axis=1)
        return k.clip(k.shift_right(k.multiply(sums, np.array([131] * 4), axis=1), 14, Rounding.HALF_UP), -128, 127)

    traced = Traced(kernel, (integer(16), ALL))
    assert set(traced.ops) == {"Cast", "Conv", "Relu"}
    np.testing.assert_array_equal(traced.result, kernel(Exact(), ALL))
    assert traced.result.max((0, 2, 3)).tolist() == [40, 72, 127, 127]


def test_what_float32_cannot_tell_apart_is_left_to_float64() -> None:
    """Over 2**17 sums in 255 steps: sums next to each other that round apart have the same product in float32."""
    weight = np.full((CHANNELS, 1, 1, 1), 4093)

    def kernel(k: Any, x: Any) -> Any:
        product = k.multiply(k.conv(x, weight, **WINDOW), np.array([251, 253, 239, 241]), axis=1)
        return k.clip(k.shift_right(product, 26, Rounding.HALF_UP), -128, 127)

    traced = Traced(kernel, (integer(16), ALL >> 4))
    assert traced.ops["Floor"] == 1
    np.testing.assert_array_equal(traced.result, kernel(Exact(), ALL >> 4))


def column(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values)[:, None]


def half_up(factor: int, bits: int, low: int, high: int) -> Stairs:
    """``clip((sum * factor) >> bits)`` with rounding half up, to 0 up to 9."""
    results = np.arange(1, 10)
    first = -(-((results << bits) - (1 << (bits - 1))) // factor)
    return Stairs(column(factor), column(0), column(bits), column(low), column(high), 0, first[None])


@pytest.mark.parametrize(("factor", "bits"), [(1, 4), (3, 5), (200, 12), (255, 8), (129, 6)])
def test_a_line_is_proven_and_no_other(factor: int, bits: int) -> None:
    stairs = half_up(factor, bits, -1000, 1000)
    line = Line.along(stairs, 0.5, 0)
    assert line.follows(stairs).all()
    unit = np.float32(2.0**-bits)
    for wrong in (
        replace(line, offset=line.offset + factor * unit),
        replace(line, offset=line.offset - factor * unit),
        replace(line, slope=line.slope * np.float32(1.5)),
        replace(line, level=line.level + 1),
    ):
        assert not wrong.follows(stairs).any()


def test_a_line_between_two_products_must_not_be_too_high_by_one() -> None:
    """A tie goes up; an offset of nothing leaves it on the edge, where ties to even go down half of the time."""
    stairs = half_up(1, 4, 0, 100)
    assert not Line.along(stairs, 0, 0).follows(stairs).any()
    assert not Line.along(stairs, 1, 0).follows(stairs).any()
    assert Line.along(stairs, 0.5, 0).follows(stairs).all()
