"""``Exact`` against rational arithmetic and loops (``tests/rational.py``)."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rational
from quaint.numerics import Rounding
from quaint.simulators.exact import Exact
from strategies import Array, integers, same

if TYPE_CHECKING:
    from collections.abc import Callable

k = Exact()
roundings = st.sampled_from(Rounding)
widths = st.sampled_from([1, 4, 8, 16, 20, 32, 40, 62])
LONG = np.iinfo(np.int64)
anything = widths.flatmap(lambda bits: integers((2, 3, 4), bits))


@pytest.mark.parametrize(
    "overflow",
    [
        lambda: k.matmul(np.full((1, 2), 1 << 31), np.full((2, 1), 1 << 31)),
        lambda: k.matmul(np.full((1, 1), 1), np.full((1, 1), LONG.min)),
        lambda: k.add(np.array([LONG.max]), 1),
        lambda: k.subtract(np.array([LONG.min]), 1),
        lambda: k.multiply(np.array([1 << 32]), 1 << 31),
        lambda: k.shift_left(np.array([1]), 63),
        lambda: k.shift_right(np.array([-3]), -62, Rounding.FLOOR),
        lambda: k.scale_float32(np.array([1 << 40]), np.float32(2.0**23), Rounding.FLOOR),
        lambda: k.sum(np.full((2, 2), 1 << 61), [0, 1], keepdims=False),
        lambda: k.sum_pool(np.full((1, 1, 4), 1 << 61), kernel_shape=[4], strides=[1], pads=[0, 0], ceil_mode=False),
    ],
)
def test_overflow_is_loud(overflow: Callable[[], Array]) -> None:
    with pytest.raises(OverflowError):
        overflow()


def test_no_false_alarm() -> None:
    """The extremes of both operands would overflow together, but do not meet."""
    np.testing.assert_array_equal(k.multiply(np.array([1 << 40, 1]), np.array([1, 1 << 40])), [1 << 40, 1 << 40])
    np.testing.assert_array_equal(k.add(np.array([1 << 62, -1]), np.array([-1, 1 << 62])), [(1 << 62) - 1] * 2)


@given(anything, st.data(), st.sampled_from(["add", "subtract", "multiply"]))
def test_arithmetic(x: Array, data: st.DataObject, name: str) -> None:
    operation = {"add": lambda a, b: a + b, "subtract": lambda a, b: a - b, "multiply": lambda a, b: a * b}[name]
    y = data.draw(integers((3,), 20))
    truth = rational.elementwise(operation, x, y.reshape(1, 3, 1))
    assume(all(abs(v) < 1 << 62 for v in truth.flat))
    same(getattr(k, name)(x, y, axis=1), truth)
    same(getattr(k, name)(x, int(y[0])), rational.elementwise(operation, x, y[0]))
    same(getattr(k, name)(x, y.reshape(1, 3, 1).astype(np.int32)), truth)


@given(anything, integers((4,), 8), st.integers(0, 100))
def test_clip(x: Array, low: Array, room: int) -> None:
    truth = rational.elementwise(lambda v, a: min(max(v, a), a + room), x, low)
    same(k.clip(x, low, low + room, axis=2), truth)
    same(k.clip(x, None, 5), rational.elementwise(lambda v: min(v, 5), x))
    same(k.clip(x, -5, None), rational.elementwise(lambda v: max(v, -5), x))


@given(anything, st.integers(1, 64))
def test_wrap(x: Array, bits: int) -> None:
    half = 1 << (bits - 1)
    same(k.wrap(x, bits), rational.elementwise(lambda v: (v + half) % (2 * half) - half, x))


@given(integers((2, 3, 4), 20), hnp.arrays(np.int64, 3, elements=st.integers(0, 40)))
def test_shift_left(x: Array, bits: Array) -> None:
    same(k.shift_left(x, bits, axis=1), rational.elementwise(lambda v, b: v * 2**b, x, bits.reshape(1, 3, 1)))


@given(anything, hnp.arrays(np.int64, 3, elements=st.integers(-1, 12) | st.integers(60, 130)), roundings)
def test_shift_right(x: Array, bits: Array, rounding: Rounding) -> None:
    bits = bits.reshape(1, 3, 1)
    truth = rational.elementwise(
        lambda v, b: rational.round_fraction(Fraction(v) / Fraction(2) ** b, rounding), x, bits
    )
    assume(all(abs(v) < 1 << 63 for v in truth.flat))
    same(k.shift_right(x, bits.ravel(), rounding, axis=1), truth)


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("bits", [0, 1, 2, 3])
def test_shift_right_ties(rounding: Rounding, bits: int) -> None:
    x = np.arange(-40, 41)
    same(
        k.shift_right(x, bits, rounding),
        rational.elementwise(lambda v: rational.round_fraction(Fraction(v, 2**bits), rounding), x),
    )


@given(anything, hnp.arrays(np.int64, 3, elements=st.integers(1, 9) | st.integers(1, 1 << 40)), roundings)
def test_divide(x: Array, divisor: Array, rounding: Rounding) -> None:
    truth = rational.elementwise(
        lambda v, d: rational.round_fraction(Fraction(v, d), rounding), x, divisor.reshape(1, 3, 1)
    )
    same(k.divide(x, divisor, rounding, axis=1), truth)


factors = st.floats(2.0**-40, 4.0, width=32) | st.integers(-8, 2).map(lambda e: 2.0**e)


@given(integers((2, 3, 4), 40) | integers((2, 3, 4), 8), hnp.arrays(np.float32, 3, elements=factors), roundings)
def test_scale_float32(x: Array, factor: Array, rounding: Rounding) -> None:
    """Two IEEE roundings, then the rounding: where ``floor(p + 0.5)`` in float32 would go wrong, this must not."""

    def scaled(v: int, f: np.float32) -> int:
        product = rational.float32(rational.float32(Fraction(v)) * Fraction(float(f)))
        return rational.round_fraction(product, rounding)

    same(k.scale_float32(x, factor, rounding, axis=1), rational.elementwise(scaled, x, factor.reshape(1, 3, 1)))


def test_half_up_just_below_a_half() -> None:
    """0.5 - 2**-25 plus 0.5 rounds to 1 in float32; its rounding is 0. So with 2**23 + 1, of which 0.5 more is a tie."""
    below = np.float32(0.5 - 2.0**-25)
    assert k.scale_float32(np.array([1]), below, Rounding.HALF_UP) == 0
    assert k.scale_float32(np.array([(1 << 23) + 1]), np.float32(1), Rounding.HALF_UP) == (1 << 23) + 1


@given(integers((3, 4), 4))
def test_lookup(x: Array) -> None:
    table = np.arange(16) ** 2
    same(k.lookup(x, table.astype(np.uint8), -8), rational.elementwise(lambda v: (v + 8) ** 2, x))


@pytest.mark.parametrize("outside", [-9, 8])
def test_lookup_outside_the_table(outside: int) -> None:
    with pytest.raises(IndexError):
        k.lookup(np.array([outside]), np.arange(16), -8)


@given(integers((2, 3, 4), 16), st.sets(st.integers(-3, 2), min_size=1), st.booleans())
def test_sum(x: Array, axes: set[int], keepdims: bool) -> None:
    axes = sorted({axis % 3 for axis in axes})
    same(k.sum(x, axes, keepdims=keepdims), x.astype(object).sum(axis=tuple(axes), keepdims=keepdims))


@given(integers((2, 3, 4), 8), st.integers(0, 200), st.booleans())
def test_saturating_sum(x: Array, high: int, keepdims: bool) -> None:
    def total(values: Array) -> int:
        acc = 0
        for value in values:
            acc = min(max(acc + int(value), -high - 1), high)
        return acc

    truth = np.array([[total(x[:, i].ravel())] for i in range(3)], object).reshape(1, 3, 1)
    result = k.saturating_sum(x, [2, 0], -high - 1, high, keepdims=keepdims)
    same(result, truth if keepdims else truth.ravel())


def test_movement() -> None:
    x = np.arange(24).reshape(2, 3, 4)
    assert k.shape(x) == (2, 3, 4)
    assert k.reshape(x, [0, -1]).shape == (2, 12)
    assert k.reshape(x, [2, 0, 2, 2]).shape == (2, 3, 2, 2)
    same(k.transpose(x, [2, 0, 1]), np.einsum("abc->cab", x))
    same(k.concat([x, x[:, :1]], 1), np.take(x, [0, 1, 2, 0], 1))
    same(k.gather(x, [2, 0, 0], 1), x[:, [2, 0, 0]])
    same(k.maximum(x, 11 - x), rational.elementwise(lambda v: max(v, 11 - v), x))


@given(integers((1, 2, 3, 2), 8), st.lists(st.integers(0, 2), min_size=4, max_size=4), integers((2,), 8))
def test_pad(x: Array, edges: list[int], value: Array) -> None:
    pads = [0, 0, *edges[:2], 0, 0, *edges[2:]]
    result = k.pad(x, pads, value, axis=1)
    for c in range(2):
        border = ((0, 0), (edges[0], edges[2]), (edges[1], edges[3]))
        same(result[:, c], np.pad(x[:, c], border, constant_values=value[c]))


reals = st.floats(-1e6, 1e6, width=32).map(lambda v: v if abs(v) > 1e-20 else 0.0)


@given(hnp.arrays(np.float32, (2, 3), elements=reals), factors, st.booleans(), roundings)
def test_quantize(x: Array, factor: float, divide: bool, rounding: Rounding) -> None:
    exact = Fraction(float(np.float32(factor)))

    def quantized(v: np.float32) -> int:
        scaled = rational.float32(Fraction(float(v)) / exact if divide else Fraction(float(v)) * exact)
        return min(max(rational.round_fraction(scaled, rounding) + 3, -128), 127)

    result = k.quantize(x, np.float32(factor), 3, -128, 127, rounding, divide=divide, axis=None)
    same(result, rational.elementwise(quantized, x))


@pytest.mark.parametrize("rounding", Rounding)
def test_quantize_saturates(rounding: Rounding) -> None:
    """What is infinite, or overflows float32, saturates; what is not a number is the lowest integer."""
    x = np.array([np.inf, -np.inf, np.nan, 3e38, -3e38], np.float32)
    result = k.quantize(x, np.float32(1e6), 100, -128, 127, rounding, divide=False, axis=None)
    np.testing.assert_array_equal(result, [127, -128, -128, 127, -128])


def test_quantize_per_channel() -> None:
    x = np.array([[1.0, 1.0], [3.0, 3.0]], np.float32)
    factor = np.array([1.0, 2.0], np.float32)
    result = k.quantize(x, factor, np.array([0, 5]), -128, 127, Rounding.HALF_EVEN, divide=False, axis=1)
    np.testing.assert_array_equal(result, [[1, 7], [3, 11]])


@given(integers((2, 3), 8), hnp.arrays(np.float32, 3, elements=factors), integers((3,), 8))
def test_dequantize(x: Array, scale: Array, zero_point: Array) -> None:
    result = k.dequantize(x, scale, zero_point, axis=1)
    assert result.dtype == np.float32
    truth = rational.elementwise(lambda v, z, s: rational.float32((v - z) * Fraction(float(s))), x, zero_point, scale)
    assert [Fraction(float(v)) for v in result.flat] == list(truth.flat)


def test_host() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[N] a, float[N] b) => (float[N] s, float[N] d)'
        "{ s = Add(a, b)  d = Sub(a, b) }"
    )
    a, b = np.array([3, 4], np.float32), np.array([1, 2], np.float32)
    s, d = k.host([a, b], np.frombuffer(model.SerializeToString(), np.uint8))
    np.testing.assert_array_equal(s, [4, 6])
    np.testing.assert_array_equal(d, [2, 2])
