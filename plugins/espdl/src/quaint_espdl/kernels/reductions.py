"""Kernels of the runtime that reduce axes with float32 inside: sums of powers, products, logarithms, means.

Integers are added up as integers wherever the runtime does so; see ``floats`` for what the options mean.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quaint_espdl.kernels.floats import quantized, real
from quaint_espdl.kernels.transcendental import exponential, logarithm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Arithmetic, Kernel

    Reals = NDArray[np.float32]

V = TypeVar("V")


def whole_mean(count: int, left: int, bits: int, out_bits: int) -> dict[str, int] | None:
    """What the integer kernel of sums needs to take a mean as the runtime's two float32 operations do; None if it may not.

    Args:
        count: elements of each mean.
        left: how far a step of the input is shifted to the left to be one of the output.
        bits: width of the input.
        out_bits: width of the output.
    """
    steps = count << max(-left, 0)  # the quotient is a whole number of 1 / steps
    # float32 errs by less than 2**-24 of a quotient of at most 2**bits; a tie is at least 1 / (2 * steps) away.
    if count << (bits - 1) > 1 << 24 or steps << (out_bits + 1) > 1 << 24:
        return None
    return {"divisor": steps, "left": max(left, 0)}


def total(k: Arithmetic[V], x: V, axes: Sequence[int]) -> V:
    """Sum along axes, which stay: of integers exact, of reals one after another."""
    return k.accumulate("Add", x, axes) if k.is_real(x) else k.sum(x, axes, keepdims=True)


def square(k: Arithmetic[V], x: V) -> V:
    """``x * x``."""
    return k.real("Mul", x, x) if k.is_real(x) else k.multiply(x, x)


def magnitude(k: Arithmetic[V], x: V) -> V:
    """``abs(x)``."""
    return k.real("Abs", x) if k.is_real(x) else k.maximum(x, k.multiply(x, -1))


def mean(k: Arithmetic[V], x: V, *, scale: float, axes: Sequence[int], shape: Sequence[int], **output: Any) -> V:
    """``sum * scale / count`` in this order."""
    sizes = k.shape(x)
    count = np.float32(math.prod(sizes[axis] or 0 for axis in axes))
    return quantized(k, k.reshape(k.real("Div", real(k, total(k, x, axes), scale), count), shape), **output)


def _l1(k: Any, x: Any, scale: float, axes: Sequence[int]) -> Any:
    return real(k, total(k, magnitude(k, x), axes), scale)


def _l2(k: Any, x: Any, scale: float, axes: Sequence[int]) -> Any:
    return k.real("Mul", k.real("Sqrt", k.to_real(total(k, square(k, x), axes))), np.float32(scale))


def _sum_square(k: Any, x: Any, scale: float, axes: Sequence[int]) -> Any:
    return real(k, total(k, square(k, x), axes), scale * scale)


def _product(k: Any, x: Any, scale: float, axes: Sequence[int]) -> Any:
    return k.accumulate("Mul", real(k, x, scale), axes)


def _log_sum(k: Any, x: Any, scale: float, axes: Sequence[int]) -> Any:
    return k.to_real(logarithm(k, real(k, total(k, x, axes), scale)))


def _log_sum_exp(k: Any, x: Any, scale: float, axes: Sequence[int]) -> Any:
    terms = k.to_real(exponential(k, real(k, x, scale)))
    return k.to_real(logarithm(k, k.accumulate("Add", terms, axes)))


REDUCTIONS: dict[str, Callable[[Any, Any, float, Sequence[int]], Any]] = {
    "ReduceL1": _l1,
    "ReduceL2": _l2,
    "ReduceSumSquare": _sum_square,
    "ReduceProd": _product,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
}
#: Of floats only: integers have kernels of their own.
REAL_REDUCTIONS: dict[str, Callable[[Any, Any, float, Sequence[int]], Any]] = {
    "ReduceSum": lambda k, x, _, axes: k.accumulate("Add", x, axes),
    "ReduceMax": lambda k, x, _, axes: k.accumulate("Max", x, axes),
    "ReduceMin": lambda k, x, _, axes: k.accumulate("Min", x, axes),
}


def reduce(
    k: Arithmetic[V], x: V, *, function: str, scale: float, axes: Sequence[int], shape: Sequence[int], **output: Any
) -> V:
    """A reduction over ``axes``."""
    functions = REDUCTIONS | REAL_REDUCTIONS
    return quantized(k, k.reshape(functions[function](k, x, scale, axes), shape), **output)


REDUCING_KERNELS: dict[str, Kernel] = {"ReduceMean": mean, "Reduce": reduce}
