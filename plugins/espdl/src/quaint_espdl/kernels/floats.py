"""Kernels of the runtime that have float32 inside: divisions, exponentials, interpolation, and what is float altogether.

They run operation by operation as the runtime's C code has them. ``scale`` is that of the (first) input, ``out_scale`` of the
output, None for a float output. Functions of an integer are tables of float32.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quaint.numerics import Rounding
from quaint.simulators.exact import Exact
from quaint_espdl.kernels.functions import FUNCTIONS, once_rounded
from quaint_espdl.kernels.transcendental import exponential, logarithm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Arithmetic, Kernel

    Array = NDArray[Any]
    Reals = NDArray[np.float32]

V = TypeVar("V")


def on_arrays(function: Callable[..., Any]) -> Kernel:
    """A kernel that is only defined on arrays."""

    @wraps(function)
    def kernel(_: Any, *xs: Any, **options: Any) -> Any:
        if not all(isinstance(x, np.ndarray) for x in xs):
            from quaint.simulators.tracing_graph import Untraceable

            raise Untraceable(f"'{function.__name__}' has no form in ONNX that gives the same bits")
        return function(*xs, **options)

    return kernel


def real(k: Arithmetic[V], x: V | Array, scale: float) -> V:
    """Integers as float32."""
    return k.real("Mul", k.to_real(x), np.float32(scale))


def quantized(k: Arithmetic[V], x: V, *, out_scale: float | None, low: int, high: int, rounding: str) -> V:
    """Float32 to integers: ``clip(round(x / out_scale))``; ``x`` itself where the output is float."""
    if out_scale is None:
        return x
    return k.to_integer(k.real("Mul", x, np.float32(1 / out_scale)), low, high, Rounding(rounding))


def largest(k: Arithmetic[V], x: V, axis: int) -> V:
    """The largest number along ``axis``, which stays; of integers, with a window over all of it."""
    if k.is_real(x):
        return k.accumulate("Max", x, [axis])
    sizes = [-1 if size is None else size for size in k.shape(x)]
    axis %= len(sizes)
    order = [*(i for i in range(len(sizes)) if i != axis), axis]
    rows = k.reshape(k.transpose(x, order), [1, -1, sizes[axis]])
    window = {"kernel_shape": [sizes[axis]], "strides": [1], "pads": [0, 0], "dilations": [1]}
    return k.reshape(k.max_pool(rows, ceil_mode=False, **window), [*sizes[:axis], 1, *sizes[axis + 1 :]])


def _below_largest(k: Arithmetic[V], x: V, axis: int, bits: int) -> V:
    """How far integers of ``bits`` bits lie below the largest along ``axis``."""
    return k.clip(k.subtract(x, largest(k, x, axis)), 1 - (1 << bits), 0)


def _exponentials(k: Arithmetic[V], x: V, scale: float, low: int, high: int) -> V:
    """``exp(x * scale)`` of integers from ``low`` to ``high``."""
    integers = np.arange(low, high + 1).astype(np.float32)
    return k.lookup(x, once_rounded(np.exp, integers * np.float32(scale)), low)


def _operands(x: Any, y: Any, constant: Array | None, *, from_constant: bool) -> tuple[Any, Any]:
    other = constant if y is None else y
    return (other, x) if from_constant else (x, other)


def divide(
    k: Arithmetic[V],
    x: V,
    y: V | None = None,
    *,
    factor: float,
    inverse: bool,
    constant: Array | None = None,
    from_constant: bool = False,
    **output: Any,
) -> V:
    """``x * factor / y``, or ``x * (factor / y)``, of raw integers; division by zero saturates by the numerator's sign."""
    dividend, divisor = (k.to_real(value) for value in _operands(x, y, constant, from_constant=from_constant))
    factors = np.float32(factor)
    if inverse:
        ratio = k.real("Mul", dividend, k.real("Div", factors, divisor))
    else:
        ratio = k.real("Div", k.real("Mul", dividend, factors), divisor)
    return quantized(k, ratio, out_scale=1.0, **output)


def remainder(
    k: Arithmetic[V],
    x: V,
    y: V | None = None,
    *,
    scale: float,
    scale_y: float,
    constant: Array | None = None,
    from_constant: bool = False,
    **output: Any,
) -> V:
    """``fmod`` of reals: the sign of the dividend."""
    dividend, divisor = _operands(x, y, constant, from_constant=from_constant)
    return quantized(k, k.real("Mod", real(k, dividend, scale), real(k, divisor, scale_y)), **output)


def power(
    k: Arithmetic[V],
    x: V,
    y: V | None = None,
    *,
    scale: float,
    scale_y: float,
    constant: Array | None = None,
    from_constant: bool = False,
    **output: Any,
) -> V:
    """``x ** y`` of reals that 8-bit integers stand for: a table of all pairs."""
    every = np.arange(-128, 128).astype(np.float32)
    table = once_rounded(np.power, every[:, None] * np.float32(scale), every * np.float32(scale_y))
    if constant is None:
        assert y is not None
        pairs = k.add(k.multiply(x, 256), y)
    else:
        pairs = k.add(x, constant * 256) if from_constant else k.add(k.multiply(x, 256), constant)
    return quantized(k, k.lookup(pairs, table.ravel(), -128 * 256 - 128), **output)


def real_power(
    x: Array,
    y: Array | None = None,
    *,
    scale: float,
    scale_y: float,
    constant: Array | None = None,
    from_constant: bool = False,
    **output: Any,
) -> Array:
    """``x ** y`` of anything."""
    k = Exact()
    base, exponent = (k.to_real(value) for value in _operands(x, y, constant, from_constant=from_constant))
    made = once_rounded(np.power, base * np.float32(scale), exponent * np.float32(scale_y))
    return quantized(k, made, **output)


def softmax(k: Arithmetic[V], x: V, *, scale: float, axis: int, bits: int, **output: Any) -> V:
    """``exp(x) / sum(exp(x))``; 8-bit inputs come from a table and are not shifted by their maximum first."""
    if bits == 8:
        terms = _exponentials(k, x, scale, -128, 127)
    elif k.is_real(x):
        terms = k.to_real(exponential(k, real(k, k.real("Sub", x, largest(k, x, axis)), scale)))
    else:
        terms = _exponentials(k, _below_largest(k, x, axis, bits), scale, 1 - (1 << bits), 0)
    return _in_two_steps(k, k.real("Div", terms, k.accumulate("Add", terms, [axis])), **output)


def log_softmax(k: Arithmetic[V], x: V, *, scale: float, axis: int, bits: int, **output: Any) -> V:
    """``x - max - log(sum(exp(x - max)))``."""
    if k.is_real(x):
        shifted = real(k, k.real("Sub", x, largest(k, x, axis)), scale)
        terms = k.to_real(exponential(k, shifted))
    else:
        below = _below_largest(k, x, axis, bits)
        shifted, terms = real(k, below, scale), _exponentials(k, below, scale, 1 - (1 << bits), 0)
    total = k.to_real(logarithm(k, k.accumulate("Add", terms, [axis])))
    return _in_two_steps(k, k.real("Sub", shifted, total), **output)


def _in_two_steps(k: Arithmetic[V], x: V, *, out_scale: float | None, low: int, high: int, rounding: str) -> V:
    """What gives floats on the chip; integers come from a QuantizeLinear after it."""
    if out_scale is None:
        return x
    return k.quantize(
        x, np.asarray(1 / out_scale, np.float32), 0, low, high, Rounding(rounding), divide=False, axis=None
    )


def resize(
    k: Arithmetic[V],
    x: V,
    *,
    scale: float,
    axes: Sequence[int],
    low_index: Sequence[Sequence[int]],
    fraction: Sequence[Sequence[float]],
    **output: Any,
) -> V:
    """Linear interpolation between neighbours, the last axis of the map first."""
    values = real(k, x, scale)
    for axis, lows, parts in zip(axes, low_index, fraction, strict=True):
        shape = k.shape(values)
        part = np.asarray(parts, np.float32).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        last = (shape[axis] or 0) - 1
        upper = k.gather(values, [min(index + 1, last) for index in lows], axis)
        values = k.real("Mul", k.gather(values, lows, axis), np.float32(1) - part)
        values = k.real("Add", values, k.real("Mul", upper, part))
    return quantized(k, values, **output)


def scatter_reduce(data: Array, updates: Array, *, indices: Array, reduction: str, low: int, high: int) -> Array:
    """``data`` with ``updates`` combined into the places that ``indices`` name, one by one."""
    combine = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}[reduction]
    result = data.copy()
    rows = updates.reshape(-1, *data.shape[indices.shape[-1] :])
    for place, row in zip(indices.reshape(-1, indices.shape[-1]).tolist(), rows, strict=True):
        result[tuple(place)] = np.clip(combine(result[tuple(place)], row), low, high)
    return result


def unary(k: Arithmetic[V], x: V, *, function: str, attributes: Mapping[str, Any]) -> V:
    """A function of a float tensor."""
    result: V = FUNCTIONS[function](k, x, attributes)
    return result


#: Operators of the runtime on two float tensors; here and in the protocol they have ONNX's names.
BINARY = frozenset({"Add", "Sub", "Mul", "Div", "Max", "Min"})


def binary(
    k: Arithmetic[V],
    x: V,
    y: V | None = None,
    *,
    function: str,
    constant: Reals | None = None,
    from_constant: bool = False,
) -> V:
    """An operation on two float tensors."""
    return k.real(function, *_operands(x, y, constant, from_constant=from_constant))


FLOAT_KERNELS: dict[str, Kernel] = {
    "Div": divide,
    "Mod": remainder,
    "Pow": power,
    "RealPow": on_arrays(real_power),
    "Softmax": softmax,
    "LogSoftmax": log_softmax,
    "Resize": resize,
    "ScatterReduce": on_arrays(scatter_reduce),
    "Unary": unary,
    "Binary": binary,
}
