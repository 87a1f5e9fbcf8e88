"""Kernels that every target may use. A kernel *is* the definition of its layer.

Shapes are channel-first as in ONNX; all tensors are whole numbers of unlimited width until ``clip`` says otherwise. What
becomes of an accumulator is the same everywhere (``requantize``): times an integer multiplier and shifted right, or, for
runtimes that work in float32, times a float32 factor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quaint.numerics import Rounding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Arithmetic, Constant, Kernel

    Floats = NDArray[np.float32]

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
    x = _without(k, x, input_zero_point)
    if multiplier is not None and multiplier.dtype == np.float32:
        x = k.scale_float32(x, multiplier, Rounding(rounding), axis=axis)
    else:
        if multiplier is not None:
            x = k.multiply(x, multiplier, axis=axis)
        x = k.shift_right(x, shift, Rounding(rounding), axis=axis)
    if zero_point:
        x = k.add(x, zero_point)
    return k.clip(x, low, high)


def _without(k: Arithmetic[V], x: V, zero_point: int) -> V:
    """``x`` with real zero at 0."""
    return k.subtract(x, zero_point) if zero_point else x


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
    **output: Any,
) -> V:
    """Convolution, bias added to the accumulator, then ``requantize``; per-channel vectors lie along axis 1."""
    x = _without(k, x, input_zero_point)
    acc = k.conv(x, weight, strides=strides, pads=pads, dilations=dilations, group=group)
    return requantize(k, k.add(acc, bias, axis=1), **output)


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
    **output: Any,
) -> V:
    """Transposed convolution, bias, then ``requantize``."""
    x = _without(k, x, input_zero_point)
    acc = k.conv_transpose(
        x,
        weight,
        strides=strides,
        pads=pads,
        output_padding=output_padding,
        dilations=dilations,
        group=group,
    )
    return requantize(k, k.add(acc, bias, axis=1), **output)


def gemm(
    k: Arithmetic[V], x: V, *, weight: NDArray[Any], bias: NDArray[Any], input_zero_point: int = 0, **output: Any
) -> V:
    """``x @ weight + bias`` over the last axis, then ``requantize``; weight is [K, N], vectors lie along the last axis."""
    x = _without(k, x, input_zero_point)
    axis = len(k.shape(x)) - 1
    acc = k.add(k.matmul(x, weight), bias, axis=axis)
    return requantize(k, acc, axis=axis, **output)


def add(
    k: Arithmetic[V],
    x: V,
    y: V,
    *,
    x_multiplier: int = 1,
    y_multiplier: int = 1,
    x_zero_point: int = 0,
    y_zero_point: int = 0,
    **output: Any,
) -> V:
    """``x * x_multiplier + y * y_multiplier`` with real zero at 0, then ``requantize``."""
    terms = [
        k.multiply(_without(k, value, zero_point), factor) if factor != 1 else _without(k, value, zero_point)
        for value, zero_point, factor in ((x, x_zero_point, x_multiplier), (y, y_zero_point, y_multiplier))
    ]
    return requantize(k, k.add(*terms), **output)


def multiply(k: Arithmetic[V], x: V, y: V, *, x_zero_point: int = 0, y_zero_point: int = 0, **output: Any) -> V:
    """``x * y`` with real zero at 0, then ``requantize``."""
    return requantize(k, k.multiply(_without(k, x, x_zero_point), _without(k, y, y_zero_point)), **output)


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
    x = _without(k, x, input_zero_point)
    total = k.sum_pool(x, kernel_shape=kernel_shape, strides=strides, pads=pads, ceil_mode=ceil_mode)
    return requantize(k, total, **output)


def global_average_pool(k: Arithmetic[V], x: V, *, input_zero_point: int = 0, **output: Any) -> V:
    """Sum over the map, then ``requantize``, whose multiplier holds the division by the area; keeps rank."""
    x = _without(k, x, input_zero_point)
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


def clip(k: Arithmetic[V], x: V, *, low: int, high: int) -> V:
    """``min(max(x, low), high)``: ReLU, ReLU6, Clip on the same scale."""
    return k.clip(x, low, high)


def lookup(k: Arithmetic[V], x: V, *, table: NDArray[Any], low: int = -128) -> V:
    """``table[x - low]``."""
    return k.lookup(x, table, low)


def concat(k: Arithmetic[V], *xs: V, axis: int) -> V:
    """Integers joined: all on one scale."""
    return k.concat(xs, axis)


def reshape(k: Arithmetic[V], x: V, *, shape: Sequence[int]) -> V:
    """ONNX Reshape: 0 copies, -1 is inferred."""
    return k.reshape(x, shape)


def transpose(k: Arithmetic[V], x: V, *, perm: Sequence[int]) -> V:
    """Axes in the order ``perm``."""
    return k.transpose(x, perm)


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
        concat,
        reshape,
        transpose,
        requantize,
        input_quantizer,
        dequantizer,
        host,
    )
}
