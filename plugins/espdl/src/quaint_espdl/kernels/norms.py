"""Kernels of the runtime that normalize along axes: means and roots in float32, in its order of operations.

``scale`` is that of the input, ``out_scale`` of the output, None for a float output.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quaint_espdl.kernels.floats import quantized, real
from quaint_espdl.kernels.reductions import magnitude, square, total

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.arithmetic import Arithmetic, Kernel

    Reals = NDArray[np.float32]

V = TypeVar("V")

ONE, FINITE = np.float32(1), np.finfo(np.float32).max


def _normalized(k: Arithmetic[V], x: V, axis: int) -> tuple[range, np.float32]:
    """The axes from ``axis`` on, and how many elements they hold."""
    shape = k.shape(x)
    axes = range(axis % len(shape), len(shape))
    return axes, np.float32(math.prod(shape[axis] or 0 for axis in axes))


def layer_norm(
    k: Arithmetic[V],
    x: V,
    *,
    scale: float,
    axis: int,
    epsilon: float,
    weight: Reals | None = None,
    bias: Reals | None = None,
    **output: Any,
) -> V:
    """``(x - mean) / sqrt(variance + epsilon) * weight + bias`` over the axes from ``axis`` on."""
    axes, count = _normalized(k, x, axis)
    values = real(k, x, scale)
    centred = k.real("Sub", values, k.real("Div", k.accumulate("Add", values, axes), count))
    variance = k.real("Div", k.accumulate("Add", square(k, centred), axes), count)
    normed = k.real("Div", centred, k.real("Sqrt", k.real("Add", variance, np.float32(epsilon))))
    normed = normed if weight is None else k.real("Mul", normed, weight)
    return quantized(k, normed if bias is None else k.real("Add", normed, bias), **output)


def rms_norm(
    k: Arithmetic[V], x: V, *, scale: float, axis: int, epsilon: float, weight: Reals | None = None, **output: Any
) -> V:
    """``x / sqrt(mean(x ** 2) + epsilon) * weight`` over the axes from ``axis`` on; raw integers are summed."""
    axes, count = _normalized(k, x, axis)
    squares = k.real("Div", real(k, total(k, square(k, x), axes), scale * scale), count)
    inverse = k.real("Div", ONE, k.real("Sqrt", k.real("Add", squares, np.float32(epsilon))))
    normed = k.real("Mul", real(k, x, scale), inverse)
    return quantized(k, normed if weight is None else k.real("Mul", normed, weight), **output)


def lp_norm(k: Arithmetic[V], x: V, *, scale: float, axis: int, p: int, **output: Any) -> V:
    """``x`` times the inverse of its norm, for which raw integers are summed; zero where that is zero."""
    if p == 1:
        norm = real(k, total(k, magnitude(k, x), [axis]), scale)
    else:
        norm = k.real("Mul", k.real("Sqrt", k.to_real(total(k, square(k, x), [axis]))), np.float32(scale))
    inverse = k.real("Min", k.real("Div", ONE, norm), FINITE)  # so that zeros stay zeros
    return quantized(k, k.real("Mul", real(k, x, scale), inverse), **output)


NORM_KERNELS: dict[str, Kernel] = {
    "LayerNormalization": layer_norm,
    "RMSNormalization": rms_norm,
    "LpNormalization": lp_norm,
}
