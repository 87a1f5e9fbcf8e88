from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quaint_akida.scaling2 import ScaleOut, encode

positive = st.floats(2.0**-20, 2.0**10, width=32)


@given(st.lists(st.floats(-(2.0**38), 2.0**38), min_size=1, max_size=4), st.booleans())
def test_encode_keeps_eight_bits(values: list[float], signed: bool) -> None:
    given_values = np.abs(values) if not signed else np.array(values)
    mantissa, shift = encode(given_values, 8, signed=signed)
    assert (np.abs(mantissa) <= (127 if signed else 255)).all()
    assert (shift >= 0).all()
    unit = np.exp2(shift)
    assert (np.abs(mantissa * unit - given_values) <= unit).all()
    rounds_well = shift == 0
    np.testing.assert_array_equal(mantissa[rounds_well], np.rint(given_values[rounds_well]))


@given(positive, positive, st.integers(1, 64), st.sampled_from([15, 127]), st.integers(0, 3))
def test_scale_out_is_exact(limit: float, out: float, pixels: int, high: int, coarser: int) -> None:
    """An accumulator times M * 2**-S counts exactly in the output's scale, and the weights fit."""
    made = ScaleOut.finest(np.array([limit]), np.array([out * pixels]), high, coarser)
    weight, mantissa, shift = (array[0] for array in (made.weight, made.mantissa, made.shift))
    assert 1 <= mantissa <= 255
    assert -31 <= shift <= 32
    assert Fraction(float(weight)) == Fraction(int(mantissa)) / Fraction(2) ** int(shift) * Fraction(out) * pixels
    if shift not in {-31, 32}:
        assert weight >= limit * (1 - 1e-11)
    peak = 1.25 * (high + 1) * out * pixels / limit
    bits = int(np.clip(31 - np.ceil(np.log2(peak)), 1, 8))
    if bits > 3 and -31 < shift < 32:
        assert weight <= limit * (1 + (1 + coarser) * 2.0 ** (1 - bits))
    assert mantissa < 2**bits
    if bits > 1 and shift > -31:
        assert mantissa * peak <= 2**31 * (1 + 1e-9)
