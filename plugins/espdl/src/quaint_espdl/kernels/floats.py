"""Kernels of the runtime that have float32 inside: divisions, exponentials, interpolation, and what is float altogether.

They are defined in NumPy, operation by operation as the runtime's C code has them; there is no exact form of them in ONNX.
Integers come as int64, ``scale`` is that of the (first) input, ``out_scale`` of the output, None for a float output.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.numerics import Rounding
from quaint_espdl.kernels.functions import FUNCTIONS, once_rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Kernel

    Array = NDArray[Any]
    Reals = NDArray[np.float32]


def on_arrays(function: Callable[..., Any]) -> Kernel:
    """A kernel that is only defined on arrays."""

    @wraps(function)
    def kernel(_: Any, *xs: Any, **options: Any) -> Any:
        if not all(isinstance(x, np.ndarray) for x in xs):
            from quaint.simulators.tracing_graph import Untraceable

            raise Untraceable("float arithmetic of the runtime")
        return function(*xs, **options)

    return kernel


def real(x: Array, scale: float) -> Reals:
    """Integers as float32."""
    return x.astype(np.float32) * np.float32(scale)


def quantized(x: Array, *, out_scale: float | None, low: int, high: int, rounding: str) -> Array:
    """Float32 to integers: ``clip(round(x / out_scale))``; ``x`` itself where the output is float."""
    x = np.asarray(x, np.float32)
    if out_scale is None:
        return x
    with np.errstate(over="ignore"):
        scaled = x * np.float32(1 / out_scale)
    bounded = np.clip(np.nan_to_num(scaled, nan=0.0), low - 1, high + 1)
    return np.clip(Rounding(rounding).round(bounded).astype(np.int64), low, high)


def in_order(operation: np.ufunc, x: Reals, axes: Sequence[int]) -> Reals:
    """Float32 numbers added or multiplied one after another as a loop in C does; the axes stay, of size 1."""
    axes = sorted(axis % x.ndim for axis in axes)
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    rows = x.transpose(*kept, *axes).reshape(*(x.shape[axis] for axis in kept), -1)
    with np.errstate(over="ignore"):
        total = operation.accumulate(rows, -1, np.float32)[..., -1]
    return np.asarray(total.reshape([1 if axis in axes else size for axis, size in enumerate(x.shape)]))


def _operands(x: Array, y: Array | None, constant: Array | None, *, from_constant: bool) -> tuple[Array, Array]:
    other = constant if y is None else y
    assert other is not None
    return (other, x) if from_constant else (x, other)


def divide(
    x: Array,
    y: Array | None = None,
    *,
    factor: float,
    inverse: bool,
    constant: Array | None = None,
    from_constant: bool = False,
    **output: Any,
) -> Array:
    """``x * factor / y``, or ``x * (factor / y)``, of raw integers; division by zero saturates by the numerator's sign."""
    x, y = _operands(x, y, constant, from_constant=from_constant)
    factors, divisors = np.float32(factor), y.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = x.astype(np.float32) * (factors / divisors) if inverse else x.astype(np.float32) * factors / divisors
    return quantized(ratio, out_scale=1.0, **output)


def remainder(
    x: Array,
    y: Array | None = None,
    *,
    scale: float,
    scale_y: float,
    constant: Array | None = None,
    from_constant: bool = False,
    **output: Any,
) -> Array:
    """``fmod`` of reals: the sign of the dividend."""
    x, y = _operands(x, y, constant, from_constant=from_constant)
    with np.errstate(invalid="ignore"):
        return quantized(np.fmod(real(x, scale), real(y, scale_y)), **output)


def power(
    x: Array,
    y: Array | None = None,
    *,
    scale: float,
    scale_y: float,
    constant: Array | None = None,
    from_constant: bool = False,
    **output: Any,
) -> Array:
    """``x ** y`` of reals."""
    x, y = _operands(x, y, constant, from_constant=from_constant)
    return quantized(once_rounded(np.power, real(x, scale), real(y, scale_y)), **output)


def softmax(x: Array, *, scale: float, axis: int, bits: int, **output: Any) -> Array:
    """``exp(x) / sum(exp(x))``; 8-bit inputs come from a table and are not shifted by their maximum first."""
    if bits == 8:
        terms = once_rounded(np.exp, real(x, scale))
    else:
        terms = once_rounded(np.exp, real(x - x.max(axis, keepdims=True), scale))
    return quantized(terms / in_order(np.add, terms, [axis]), **output)


def log_softmax(x: Array, *, scale: float, axis: int, bits: int, **output: Any) -> Array:
    """``x - max - log(sum(exp(x - max)))``."""
    del bits
    shifted = real(x - x.max(axis, keepdims=True), scale)
    total = in_order(np.add, once_rounded(np.exp, shifted), [axis])
    return quantized(shifted - once_rounded(np.log, total), **output)


def resize(
    x: Array,
    *,
    scale: float,
    axes: Sequence[int],
    low_index: Sequence[Sequence[int]],
    fraction: Sequence[Sequence[float]],
    **output: Any,
) -> Array:
    """Linear interpolation between neighbours, the last axis of the map first."""
    values = real(x, scale)
    for axis, lows, parts in zip(axes, low_index, fraction, strict=True):
        index = np.asarray(lows)
        part = np.asarray(parts, np.float32).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
        upper = values.take(np.minimum(index + 1, x.shape[axis] - 1), axis)
        values = values.take(index, axis) * (np.float32(1) - part) + upper * part
    return quantized(values, **output)


def scatter_reduce(data: Array, updates: Array, *, indices: Array, reduction: str, low: int, high: int) -> Array:
    """``data`` with ``updates`` combined into the places that ``indices`` name, one by one."""
    combine = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}[reduction]
    result = data.copy()
    rows = updates.reshape(-1, *data.shape[indices.shape[-1] :])
    for place, row in zip(indices.reshape(-1, indices.shape[-1]).tolist(), rows, strict=True):
        result[tuple(place)] = np.clip(combine(result[tuple(place)], row), low, high)
    return result


def unary(x: Reals, *, function: str, attributes: Mapping[str, Any]) -> Reals:
    """A function of a float tensor."""
    return np.asarray(FUNCTIONS[function](x, attributes), np.float32)


BINARY: dict[str, np.ufunc] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Max": np.maximum,
    "Min": np.minimum,
}


def binary(
    x: Reals, y: Reals | None = None, *, function: str, constant: Reals | None = None, from_constant: bool = False
) -> Reals:
    """An operation on two float tensors."""
    x, y = _operands(x, y, constant, from_constant=from_constant)
    with np.errstate(all="ignore"):
        return np.asarray(BINARY[function](x, y), np.float32)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Div": divide,
    "Mod": remainder,
    "Pow": power,
    "Softmax": softmax,
    "LogSoftmax": log_softmax,
    "Resize": resize,
    "ScatterReduce": scatter_reduce,
    "Unary": unary,
    "Binary": binary,
}
FLOAT_KERNELS: dict[str, Kernel] = {name: on_arrays(function) for name, function in _FUNCTIONS.items()}
