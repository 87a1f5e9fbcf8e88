from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rational
from quaint.numerics import FixedPoint, IntType, QuantParams, Rounding

INT8, UINT8 = IntType(8, signed=True), IntType(8, signed=False)
bits = st.integers(1, 63)


@given(st.floats(-(2.0**51), 2.0**51) | st.integers(-100, 100).map(lambda v: v / 4), st.sampled_from(Rounding))
def test_rounding(x: float, rounding: Rounding) -> None:
    assert rounding.round(x) == rational.round_fraction(Fraction(x), rounding)


@pytest.mark.parametrize(
    ("rounding", "rounded"),
    [
        (Rounding.HALF_EVEN, [-2, -2, 0, 0, 2, 2]),
        (Rounding.HALF_UP, [-2, -1, 0, 1, 2, 3]),
        (Rounding.HALF_AWAY, [-3, -2, -1, 1, 2, 3]),
        (Rounding.FLOOR, [-3, -2, -1, 0, 1, 2]),
        (Rounding.CEIL, [-2, -1, 0, 1, 2, 3]),
    ],
)
def test_rounding_of_ties(rounding: Rounding, rounded: list[int]) -> None:
    np.testing.assert_array_equal(rounding.round([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]), rounded)


def test_half_up_does_not_add_a_half() -> None:
    assert Rounding.HALF_UP.round(np.nextafter(0.5, 0)) == 0
    assert Rounding.HALF_UP.round(2.0**52 + 1) == 2.0**52 + 1


@given(bits, st.booleans())
def test_int_type(width: int, signed: bool) -> None:
    dtype = IntType(width, signed)
    assert IntType.parse(str(dtype)) == dtype
    assert dtype.high - dtype.low + 1 == 2**width
    assert (dtype.low < 0) == signed
    info = np.iinfo(dtype.storage)
    assert info.min <= dtype.low
    assert dtype.high <= info.max
    assert info.bits == 8 or info.bits < 2 * width
    np.testing.assert_array_equal(dtype.saturate([-(2**62) * 2, 2**63 - 1]), [dtype.low, dtype.high])


@pytest.mark.parametrize("name", ["int", "int0", "uint65", "float32", "int8 ", "Int8", "int-8", ""])
def test_not_an_integer_type(name: str) -> None:
    with pytest.raises(ValueError, match="not an integer type"):
        IntType.parse(name)


@given(st.integers(-128, 127), st.floats(2.0**-30, 2.0**30), st.integers(-128, 127), st.sampled_from(Rounding))
def test_integers_survive_the_reals(q: int, scale: float, zero_point: int, rounding: Rounding) -> None:
    """Where ``scale * q`` is exact, so for powers of two, under every rounding."""
    scale = 2.0 ** np.floor(np.log2(scale))
    params = QuantParams(np.float64(scale), INT8, np.int64(zero_point))
    assert params.quantize(params.dequantize(q), rounding) == q


def test_quantize_per_channel() -> None:
    params = QuantParams(np.array([0.5, 2.0]), UINT8, np.array([0, 10]), axis=1)
    x = np.array([[[1.0, -1.0], [1.0, 1000.0]]])
    q = params.quantize(x)
    np.testing.assert_array_equal(q, [[[2, 0], [10, 255]]])
    np.testing.assert_array_equal(params.dequantize(q), [[[1.0, 0.0], [0.0, 490.0]]])


@pytest.mark.parametrize("rounding", Rounding)
def test_quantize_saturates(rounding: Rounding) -> None:
    params = QuantParams(np.float64(1e-3), INT8, np.int64(5))
    np.testing.assert_array_equal(params.quantize([-np.inf, -1e300, 1e300, np.inf], rounding), [-128, -128, 127, 127])


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
def test_scales_are_positive_and_finite(scale: float) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        QuantParams(np.float64(scale), INT8)


def test_a_vector_needs_an_axis() -> None:
    with pytest.raises(ValueError, match="axis"):
        QuantParams(np.ones(3), INT8)
    with pytest.raises(ValueError, match="axis"):
        QuantParams(np.float64(1), INT8, axis=0)


def test_params_are_values() -> None:
    params = QuantParams(np.array([0.1, 0.3]), INT8, np.array([1, 2]), axis=0)
    again = QuantParams.from_dict(json.loads(json.dumps(params.to_dict())))
    assert again == params
    assert hash(again) == hash(params)
    assert again != QuantParams(np.array([0.1, 0.3]), INT8, np.array([1, 3]), axis=0)
    with pytest.raises(ValueError, match="read-only"):
        params.scale[0] = 1


def test_exponents() -> None:
    np.testing.assert_array_equal(QuantParams(2.0 ** np.arange(-3, 3), INT8, axis=0).exponents, range(-3, 3))
    with pytest.raises(ValueError, match="powers of two"):
        _ = QuantParams(np.float64(0.3), INT8).exponents


@pytest.mark.parametrize(("frac_bits", "integer"), [(1, 6), (3, 25), (6, 201)])
def test_pi_in_8_unsigned_bits(frac_bits: int, integer: int) -> None:
    pi = FixedPoint.quantize(np.pi, frac_bits, UINT8)
    assert pi.values == integer
    assert abs(pi.to_float() - np.pi) <= 2.0 ** -(frac_bits + 1)


@given(st.floats(2.0**-60, 2.0**60), bits.filter(lambda width: width < 50), st.booleans())
def test_bits_for(limit: float, width: int, signed: bool) -> None:
    """As many fractional bits as leave room for the limit, and not one more."""
    dtype = IntType(width, signed)
    frac_bits = FixedPoint.bits_for(limit, dtype)
    scaled = Fraction(limit) * Fraction(2) ** int(frac_bits)
    assert Fraction(dtype.high + 1, 2) < scaled <= dtype.high + 1


def test_fixed_point_per_channel() -> None:
    fixed = FixedPoint.quantize([[1.0, 1.0], [-9.0, np.inf]], np.array([0, 3]), INT8)
    np.testing.assert_array_equal(fixed.values, [[1, 8], [-9, 127]])
    np.testing.assert_array_equal(fixed.to_float(), [[1.0, 1.0], [-9.0, 127 / 8]])
