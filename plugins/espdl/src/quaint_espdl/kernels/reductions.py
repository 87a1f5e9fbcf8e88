"""Kernels of the runtime that reduce axes with float32 inside: sums of powers, products, logarithms, means and norms.

Integers are added up as integers wherever the runtime does so; see ``kernels_float`` for what the options mean.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint_espdl.kernels.floats import in_order, on_arrays, quantized, real
from quaint_espdl.kernels.functions import once_rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Kernel

    Array = NDArray[Any]
    Reals = NDArray[np.float32]


def mean(x: Array, *, scale: float, axes: Sequence[int], shape: Sequence[int], **output: Any) -> Array:
    """``sum * scale / count`` in this order."""
    total = x.sum(tuple(axes), np.float32 if x.dtype.kind == "f" else np.int64)
    count = np.prod([x.shape[axis] for axis in axes])
    return quantized((real(total, scale) / np.float32(count)).reshape(shape), **output)


def _l1(x: Array, scale: float, axes: tuple[int, ...]) -> Reals:
    return real(np.abs(x).sum(axes), scale)


def _l2(x: Array, scale: float, axes: tuple[int, ...]) -> Reals:
    return np.asarray(np.sqrt(np.square(x).sum(axes).astype(np.float32)) * np.float32(scale))


def _sum_square(x: Array, scale: float, axes: tuple[int, ...]) -> Reals:
    return real(np.square(x).sum(axes), scale * scale)


def _product(x: Array, scale: float, axes: tuple[int, ...]) -> Reals:
    return in_order(np.multiply, real(x, scale), axes)


def _log_sum(x: Array, scale: float, axes: tuple[int, ...]) -> Reals:
    return once_rounded(np.log, real(x.sum(axes), scale))


def _log_sum_exp(x: Array, scale: float, axes: tuple[int, ...]) -> Reals:
    return once_rounded(np.log, in_order(np.add, once_rounded(np.exp, real(x, scale)), axes))


REDUCTIONS: dict[str, Callable[[Array, float, tuple[int, ...]], Reals]] = {
    "ReduceL1": _l1,
    "ReduceL2": _l2,
    "ReduceSumSquare": _sum_square,
    "ReduceProd": _product,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
}
#: Of floats only: integers have kernels of their own.
REAL_REDUCTIONS: dict[str, Callable[[Array, float, tuple[int, ...]], Reals]] = {
    "ReduceSum": lambda x, _, axes: in_order(np.add, x, axes),
    "ReduceMax": lambda x, _, axes: x.max(axes),
    "ReduceMin": lambda x, _, axes: x.min(axes),
}


def reduce(x: Array, *, function: str, scale: float, axes: Sequence[int], shape: Sequence[int], **output: Any) -> Array:
    """A reduction over ``axes``."""
    functions = REDUCTIONS | REAL_REDUCTIONS
    return quantized(functions[function](x, scale, tuple(axes)).reshape(shape), **output)


def layer_norm(
    x: Array,
    *,
    scale: float,
    axis: int,
    epsilon: float,
    weight: Reals | None = None,
    bias: Reals | None = None,
    **output: Any,
) -> Array:
    """``(x - mean) / sqrt(variance + epsilon) * weight + bias`` over the axes from ``axis`` on."""
    axes = range(axis % x.ndim, x.ndim)
    count = np.float32(math.prod(x.shape[axis] for axis in axes))
    values = real(x, scale)
    centred = values - in_order(np.add, values, axes) / count
    variance = in_order(np.add, np.square(centred), axes) / count
    normed = centred / np.sqrt(variance + np.float32(epsilon))
    normed = normed if weight is None else normed * weight
    return quantized(normed if bias is None else normed + bias, **output)


def rms_norm(x: Array, *, scale: float, axis: int, epsilon: float, weight: Reals | None = None, **output: Any) -> Array:
    """``x / sqrt(mean(x ** 2) + epsilon) * weight`` over the axes from ``axis`` on; raw integers are summed."""
    axes = tuple(range(axis % x.ndim, x.ndim))
    count = np.float32(math.prod(x.shape[axis] for axis in axes))
    squares = real(np.square(x).sum(axes, keepdims=True), scale * scale) / count
    normed = real(x, scale) * (np.float32(1) / np.sqrt(squares + np.float32(epsilon)))
    return quantized(normed if weight is None else normed * weight, **output)


def lp_norm(x: Array, *, scale: float, axis: int, p: int, **output: Any) -> Array:
    """``x`` times the inverse of its norm, for which raw integers are summed; zero where that is zero."""
    total = (np.abs(x) ** p).sum(axis, keepdims=True)
    norm = real(total, scale) if p == 1 else np.sqrt(total.astype(np.float32)) * np.float32(scale)
    with np.errstate(divide="ignore", invalid="ignore"):
        return quantized(np.where(norm == 0, np.float32(0), real(x, scale) * (np.float32(1) / norm)), **output)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceMean": mean,
    "Reduce": reduce,
    "LayerNormalization": layer_norm,
    "RMSNormalization": rms_norm,
    "LpNormalization": lp_norm,
}
REDUCING_KERNELS: dict[str, Kernel] = {name: on_arrays(function) for name, function in _FUNCTIONS.items()}
