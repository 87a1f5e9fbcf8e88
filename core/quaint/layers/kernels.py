"""Kernels that every target may use. A kernel *is* the definition of its layer.

Shapes are channel-first as in ONNX; all tensors are whole numbers of unlimited width until ``clip`` says otherwise. What
becomes of an accumulator is the same everywhere (``requantize``): times an integer multiplier and shifted right, or, for
runtimes that work in float32, times a float32 factor. Those on single elements stand in ``quaint.layers.pointwise``,
those that move integers in ``quaint.layers.kernels_movement``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quaint.layers import accumulators
from quaint.layers.kernels_movement import MOVEMENT, concat, pad, rearrange, reshape, take, transpose
from quaint.layers.pointwise import add, clip, lookup, multiply, prelu, requantize, without
from quaint.numerics import Rounding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Arithmetic, Kernel
    from quaint.layers.accumulators import Bits

    Floats = NDArray[np.float32]

__all__ = [
    "KERNELS",
    "add",
    "average_pool",
    "clip",
    "concat",
    "conv",
    "conv_transpose",
    "dequantizer",
    "gemm",
    "global_average_pool",
    "host",
    "input_quantizer",
    "lookup",
    "max_pool",
    "multiply",
    "pad",
    "prelu",
    "rearrange",
    "requantize",
    "reshape",
    "take",
    "transpose",
    "window_counts",
    "window_steps",
]

V = TypeVar("V")


def conv(
    k: Arithmetic[V],
    x: V,
    *,
    weight: NDArray[Any],
    bias: NDArray[Any],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    group: int,
    input_zero_point: int = 0,
    accumulator_bits: Bits | None = None,
    accumulator_wraps: bool = False,
    **output: Any,
) -> V:
    """Convolution, bias added to the accumulator, then ``requantize``; per-channel vectors lie along axis 1.

    How wide the accumulator is, here and below: see ``quaint.layers.accumulators``.
    """
    x = without(k, x, input_zero_point)
    window = {"strides": strides, "pads": pads, "dilations": dilations, "group": group}
    acc = accumulators.conv(
        k, x, weight, bias, **window, accumulator_bits=accumulator_bits, accumulator_wraps=accumulator_wraps
    )
    return requantize(k, acc, **output)


def conv_transpose(
    k: Arithmetic[V],
    x: V,
    *,
    weight: NDArray[Any],
    bias: NDArray[Any],
    strides: Sequence[int],
    pads: Sequence[int],
    output_padding: Sequence[int],
    dilations: Sequence[int],
    group: int,
    input_zero_point: int = 0,
    accumulator_bits: Bits | None = None,
    accumulator_wraps: bool = False,
    **output: Any,
) -> V:
    """Transposed convolution, bias, then ``requantize``."""
    x = without(k, x, input_zero_point)
    window: dict[str, Any] = {"strides": strides, "pads": pads, "dilations": dilations, "group": group}
    window["output_padding"] = output_padding
    acc = accumulators.conv_transpose(
        k, x, weight, bias, **window, accumulator_bits=accumulator_bits, accumulator_wraps=accumulator_wraps
    )
    return requantize(k, acc, **output)


def gemm(
    k: Arithmetic[V],
    x: V,
    *,
    weight: NDArray[Any],
    bias: NDArray[Any],
    input_zero_point: int = 0,
    accumulator_bits: Bits | None = None,
    accumulator_wraps: bool = False,
    **output: Any,
) -> V:
    """``x @ weight + bias`` over the last axis, then ``requantize``; weight is [K, N], vectors lie along the last axis."""
    x = without(k, x, input_zero_point)
    axis = len(k.shape(x)) - 1
    acc = accumulators.matmul(
        k, x, weight, bias, accumulator_bits=accumulator_bits, accumulator_wraps=accumulator_wraps
    )
    return requantize(k, acc, axis=axis, **output)


def average_pool(
    k: Arithmetic[V],
    x: V,
    *,
    kernel_shape: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    ceil_mode: bool,
    input_zero_point: int = 0,
    **output: Any,
) -> V:
    """Sum of each window, then ``requantize``, whose multiplier holds the division by the window's area.

    A multiplier that depends on the position (borders not counted) is shaped like the spatial axes of the output.
    """
    x = without(k, x, input_zero_point)
    total = k.sum_pool(x, kernel_shape=kernel_shape, strides=strides, pads=pads, ceil_mode=ceil_mode)
    return requantize(k, total, **output)


def global_average_pool(k: Arithmetic[V], x: V, *, input_zero_point: int = 0, **output: Any) -> V:
    """Sum over the map, then ``requantize``, whose multiplier holds the division by the area; keeps rank."""
    x = without(k, x, input_zero_point)
    return requantize(k, k.sum(x, range(2, len(k.shape(x))), keepdims=True), **output)


def max_pool(
    k: Arithmetic[V],
    x: V,
    *,
    kernel_shape: Sequence[int],
    strides: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
    ceil_mode: bool,
) -> V:
    """Largest integer of each window."""
    return k.max_pool(
        x, kernel_shape=kernel_shape, strides=strides, pads=pads, dilations=dilations, ceil_mode=ceil_mode
    )


def input_quantizer(
    k: Arithmetic[V],
    x: V,
    *,
    factor: Floats,
    zero_point: NDArray[Any],
    low: int,
    high: int,
    rounding: str,
    divide: bool = False,
    axis: int = 1,
) -> V:
    """Float32 to integers: ``clip(round(x * factor) + zero_point, low, high)``, or ``x / factor``, in float32."""
    return k.quantize(x, factor, zero_point, low, high, Rounding(rounding), divide=divide, axis=axis)


def dequantizer(k: Arithmetic[V], x: V, *, scale: Floats, zero_point: NDArray[Any], axis: int = 1) -> V:
    """Integers to float32: ``(x - zero_point) * scale``."""
    return k.dequantize(x, scale, zero_point, axis=axis)


def host(k: Arithmetic[V], *xs: V, model: NDArray[np.uint8]) -> tuple[V, ...]:
    """A float ONNX model (its bytes) on the host."""
    return k.host(xs, model)


def window_steps(size: int, reach: int, stride: int, begin: int, end: int, *, ceil_mode: bool) -> int:
    """How many windows that ``reach`` so far fit along an axis of ``size`` with borders, as ONNX pooling counts them."""
    room = size + begin + end - reach
    steps = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (steps - 1) * stride >= size + begin:
        steps -= 1  # a window must start inside the input or its left border
    return steps


def window_counts(
    size: Sequence[int], kernel_shape: Sequence[int], strides: Sequence[int], pads: Sequence[int], *, ceil_mode: bool
) -> NDArray[np.int64]:
    """How many true pixels each pooling window covers, shaped like the pooled map."""
    rank, counts = len(size), np.ones((), np.int64)
    for i in range(rank):
        steps = window_steps(size[i], kernel_shape[i], strides[i], pads[i], pads[rank + i], ceil_mode=ceil_mode)
        start = np.arange(steps) * strides[i] - pads[i]
        covered = np.minimum(start + kernel_shape[i], size[i]) - np.maximum(start, 0)
        counts = np.multiply.outer(counts, covered)
    return counts


KERNELS: dict[str, Kernel] = {
    kernel.__name__: kernel
    for kernel in (
        conv,
        conv_transpose,
        gemm,
        add,
        multiply,
        average_pool,
        global_average_pool,
        max_pool,
        clip,
        lookup,
        prelu,
        requantize,
        input_quantizer,
        dequantizer,
        host,
    )
} | MOVEMENT
