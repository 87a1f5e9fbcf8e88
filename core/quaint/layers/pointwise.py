"""Kernels on single elements, and what becomes of an accumulator; see ``quaint.layers.kernels``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quaint.numerics import Rounding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.arithmetic import Arithmetic, Constant

V = TypeVar("V")


def requantize(
    k: Arithmetic[V],
    x: V,
    *,
    low: int,
    high: int,
    shift: Constant = 0,
    multiplier: NDArray[Any] | None = None,
    rounding: str = Rounding.HALF_EVEN,
    zero_point: int = 0,
    input_zero_point: int = 0,
    axis: int = 1,
) -> V:
    """``clip(round((x - input_zero_point) * multiplier * 2**-shift) + zero_point, low, high)``.

    A float32 ``multiplier`` is applied in IEEE single precision and takes no shift.
    """
    x = _scaled(k, without(k, x, input_zero_point), shift, multiplier, rounding, axis)
    if zero_point:
        x = k.add(x, zero_point)
    return k.clip(x, low, high)


def _scaled(
    k: Arithmetic[V], x: V, shift: Constant, multiplier: NDArray[Any] | None, rounding: str, axis: int | None
) -> V:
    """``round(x * multiplier * 2**-shift)``."""
    if multiplier is not None and multiplier.dtype == np.float32:
        return k.scale_float32(x, multiplier, Rounding(rounding), axis=axis)
    if multiplier is not None:
        x = k.multiply(x, multiplier, axis=axis)
    return k.shift_right(x, shift, Rounding(rounding), axis=axis)


def without(k: Arithmetic[V], x: V, zero_point: int) -> V:
    """``x`` with real zero at 0."""
    return k.subtract(x, zero_point) if zero_point else x


def _operand(k: Arithmetic[V], y: V | None, constant: NDArray[Any] | None, zero_point: int) -> Any:
    """The second operand of a layer, a tensor or a constant of the output's rank, with real zero at 0."""
    if y is not None:
        return without(k, y, zero_point)
    assert constant is not None
    return constant.astype(np.int64) - zero_point


def add(
    k: Arithmetic[V],
    x: V,
    y: V | None = None,
    *,
    constant: NDArray[Any] | None = None,
    x_multiplier: int = 1,
    y_multiplier: int = 1,
    x_zero_point: int = 0,
    y_zero_point: int = 0,
    **output: Any,
) -> V:
    """``x * x_multiplier + y * y_multiplier`` with real zero at 0, then ``requantize``; ``constant`` stands in for ``y``."""
    first, second = without(k, x, x_zero_point), _operand(k, y, constant, y_zero_point)
    if x_multiplier != 1:
        first = k.multiply(first, x_multiplier)
    if y_multiplier != 1:
        second = second * y_multiplier if y is None else k.multiply(second, y_multiplier)
    return requantize(k, k.add(first, second), **output)


def multiply(
    k: Arithmetic[V],
    x: V,
    y: V | None = None,
    *,
    constant: NDArray[Any] | None = None,
    x_zero_point: int = 0,
    y_zero_point: int = 0,
    **output: Any,
) -> V:
    """``x * y`` with real zero at 0, then ``requantize``; ``constant`` stands in for ``y``."""
    product = k.multiply(without(k, x, x_zero_point), _operand(k, y, constant, y_zero_point))
    return requantize(k, product, **output)


def clip(k: Arithmetic[V], x: V, *, low: int, high: int) -> V:
    """``min(max(x, low), high)``: ReLU, ReLU6, Clip on the same scale."""
    return k.clip(x, low, high)


def lookup(k: Arithmetic[V], x: V, *, table: NDArray[Any], low: int = -128) -> V:
    """``table[x - low]``."""
    return k.lookup(x, table, low)


def prelu(
    k: Arithmetic[V],
    x: V,
    *,
    slope: NDArray[Any],
    low: int,
    high: int,
    shift: Constant = 0,
    slope_shift: Constant = 0,
    multiplier: NDArray[Any] | None = None,
    slope_multiplier: NDArray[Any] | None = None,
    rounding: str = Rounding.HALF_EVEN,
    zero_point: int = 0,
    input_zero_point: int = 0,
    axis: int = 1,
) -> V:
    """``x``, or ``x * slope`` where negative, each brought to the output's scale; a slope for each index of ``axis``, or one."""
    x = without(k, x, input_zero_point)
    positive = _scaled(k, k.clip(x, 0, None), shift, multiplier, rounding, None)
    sloped = k.multiply(k.clip(x, None, 0), slope.astype(np.int64), axis=axis)
    total = k.add(positive, _scaled(k, sloped, slope_shift, slope_multiplier, rounding, None))
    return k.clip(k.add(total, zero_point) if zero_point else total, low, high)
