"""Exponential and logarithm of float32 made of IEEE operations in double precision: the same bits wherever they run.

The results, rounded to float32, are those of the C library's functions in double precision, rounded once: checked on every
float32 number. No library's function would do: NumPy's and onnxruntime's differ in their last bits. Method: reduction of the
argument to a short interval, then the Taylor series (J.-M. Muller, Elementary Functions, chapters 5 and 11).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from quaint.numerics import Rounding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.arithmetic import Arithmetic

V = TypeVar("V")

LN2 = np.float64(math.log(2))
#: ``LN2`` in two parts, the first with 21 zeros at its end: a product with an exponent is exact.
LN2_HIGH = np.float64.fromhex("0x1.62e42fee00000p-1")
LN2_LOW = np.float64.fromhex("0x1.a39ef35793c76p-33")
#: Beyond these, one plus the exponential and its inverse are 1, 0 or infinite in float32.
FARTHEST = np.float64(700)
_EXPONENTS = range(-1011, 1012)
_POWERS = np.exp2(np.asarray(_EXPONENTS, np.float64))
_SMALLEST, _LARGEST = np.float64(2.0**-149), np.float64(np.finfo(np.float32).max)


def _polynomial(k: Arithmetic[V], x: V, coefficients: Sequence[float]) -> V:
    """By Horner's rule, the constant coefficient first."""
    highest, *lower = [np.float64(c) for c in reversed(coefficients)]
    total = k.real("Mul", x, highest)
    for coefficient in lower[:-1]:
        total = k.real("Mul", k.real("Add", total, coefficient), x)
    return k.real("Add", total, lower[-1])


def exponential(k: Arithmetic[V], x: V) -> V:
    """``exp(x)`` of reals, in float64."""
    x = k.real("Min", k.real("Max", k.to_real(x, double=True), -FARTHEST), FARTHEST)
    twos = k.to_integer(k.real("Div", x, LN2), _EXPONENTS[0], _EXPONENTS[-1], Rounding.HALF_EVEN)
    whole = k.to_real(twos, double=True)
    rest = k.real("Sub", k.real("Sub", x, k.real("Mul", whole, LN2_HIGH)), k.real("Mul", whole, LN2_LOW))
    series = _polynomial(k, rest, [1 / math.factorial(n) for n in range(14)])
    return k.real("Mul", series, k.lookup(twos, _POWERS, _EXPONENTS[0]))


def _halved(k: Arithmetic[V], x: V, limit: float, power: int) -> tuple[V, V]:
    """``x`` divided by ``2**power`` where it is ``limit`` or more, and by which power of two."""
    reached = k.to_integer(k.real("Div", x, np.float64(limit)), 0, 1, Rounding.FLOOR)
    return k.real("Mul", x, k.lookup(reached, np.asarray([1, 2.0**-power]), 0)), k.multiply(reached, power)


def logarithm(k: Arithmetic[V], x: V) -> V:
    """``log(x)`` of float32 numbers, in float64: minus infinity at zero, NaN below."""
    x = k.to_real(x, double=True)
    mantissa = k.real("Div", k.real("Min", k.real("Max", x, _SMALLEST), _LARGEST), _SMALLEST)
    mantissa, twos = _halved(k, mantissa, 2.0**256, 256)
    for power in (128, 64, 32, 16, 8, 4, 2, 1):
        mantissa, more = _halved(k, mantissa, 2.0**power, power)
        twos = k.add(twos, more)
    mantissa, more = _halved(k, mantissa, math.sqrt(2), 1)
    twos = k.add(twos, k.add(more, -149))
    near = k.to_integer(k.real("Mul", mantissa, np.float64(64)), 45, 91, Rounding.HALF_EVEN)
    pivots = np.arange(45, 92) / 64
    pivot = k.lookup(near, pivots, 45)
    rest = k.real("Div", k.real("Sub", mantissa, pivot), pivot)
    series = _polynomial(k, rest, [0, *((-1) ** (n + 1) / n for n in range(1, 11))])
    small = k.real("Add", k.lookup(near, np.log(pivots), 45), series)
    whole = k.to_real(twos, double=True)
    small = k.real("Add", k.real("Mul", whole, LN2_LOW), small)
    return k.real("Add", k.real("Add", k.real("Mul", whole, LN2_HIGH), small), _beyond(k, x))


def _beyond(k: Arithmetic[V], x: V) -> V:
    """What the logarithm has where no mantissa is: infinities at zero and infinity, NaN below; else 0."""
    above = k.to_integer(k.real("Div", x, _SMALLEST), 0, 1, Rounding.FLOOR)
    infinite = k.to_integer(k.real("Mul", x, np.float64(2.0**-128)), 0, 1, Rounding.FLOOR)
    edge = k.lookup(k.add(above, infinite), np.asarray([-np.inf, 0, np.inf]), 0)
    return k.real("Add", edge, k.real("Sqrt", k.real("Min", x, np.float64(0))))
