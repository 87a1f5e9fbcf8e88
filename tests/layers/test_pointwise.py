"""Kernels on single elements against formulas in Python integers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rational
from quaint.layers import pointwise
from quaint.numerics import Rounding
from quaint.simulators.exact import Exact

Array = np.ndarray[Any, np.dtype[Any]]

k = Exact()
RANGE = {"low": -128, "high": 127}
int8 = st.integers(-128, 127)
maps = hnp.arrays(np.int64, (1, 2, 3), elements=int8)


def saturated(x: Fraction | int, rounding: Rounding = Rounding.FLOOR) -> int:
    return min(max(rational.round_fraction(Fraction(x), rounding), -128), 127)


@given(maps, hnp.arrays(np.int8, (1, 2, 1), elements=int8), st.booleans())
def test_a_constant_is_added_or_subtracted_from(x: Array, constant: Array, from_constant: bool) -> None:
    sign = {"x_multiplier" if from_constant else "y_multiplier": -1}
    result = pointwise.add(k, x, constant=constant, x_zero_point=3, y_zero_point=5, **sign, **RANGE)
    for _, c, i in np.ndindex(x.shape):
        difference = (int(x[0, c, i]) - 3) - (int(constant[0, c, 0]) - 5)
        assert result[0, c, i] == saturated(-difference if from_constant else difference)


@given(maps, maps)
def test_a_tensor_is_subtracted(x: Array, y: Array) -> None:
    np.testing.assert_array_equal(pointwise.add(k, x, y, y_multiplier=-1, **RANGE), np.clip(x - y, -128, 127))


@given(maps, hnp.arrays(np.int8, (1, 1, 3), elements=int8), st.sampled_from(Rounding))
def test_a_constant_multiplies(x: Array, constant: Array, rounding: Rounding) -> None:
    result = pointwise.multiply(k, x, constant=constant, y_zero_point=-1, shift=4, rounding=rounding, **RANGE)
    for _, c, i in np.ndindex(x.shape):
        assert result[0, c, i] == saturated(Fraction(int(x[0, c, i]) * (int(constant[0, 0, i]) + 1), 16), rounding)


@given(maps, hnp.arrays(np.int8, 2, elements=int8), st.integers(-1, 3), st.integers(0, 9), st.sampled_from(Rounding))
def test_prelu_by_shifts(x: Array, slope: Array, shift: int, slope_shift: int, rounding: Rounding) -> None:
    result = pointwise.prelu(k, x, slope=slope, shift=shift, slope_shift=slope_shift, rounding=rounding, **RANGE)
    for _, c, i in np.ndindex(x.shape):
        value = int(x[0, c, i])
        exact = Fraction(value) / Fraction(2) ** shift
        if value < 0:
            exact = Fraction(value * int(slope[c]), 2**slope_shift)
        assert result[0, c, i] == saturated(exact, rounding)


@pytest.mark.parametrize("axis", [1, 2])
def test_prelu_with_zero_points_and_float_factors(axis: int) -> None:
    x = np.arange(-6, 6).reshape(1, 2, 6)
    slope = np.arange(1, 1 + x.shape[axis])
    factors = {"multiplier": np.float32(0.5), "slope_multiplier": np.float32(0.25)}
    result = pointwise.prelu(
        k,
        x,
        slope=slope,
        input_zero_point=-2,
        zero_point=4,
        axis=axis,
        **{n: np.asarray(v) for n, v in factors.items()},
        **RANGE,
    )
    laid = slope.reshape([-1 if i == axis else 1 for i in range(3)])
    expected = np.where(x + 2 < 0, np.rint((x + 2) * laid * 0.25), np.rint((x + 2) * 0.5)) + 4
    np.testing.assert_array_equal(result, expected)
