"""Reductions, products of two tensors, grouped convolutions and interpolation, in their variants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.testing.zoo.registry import model

if TYPE_CHECKING:
    from quaint.testing.builder import Builder

SAME = [1, 1, 1, 1]


def _map(b: Builder) -> str:
    """A feature map of 6 channels, 5 x 7."""
    return b.op("Relu", b.conv(b.input(3, 5, 7), (3, 6), pads=SAME))


def _axes(b: Builder, *axes: int) -> str:
    return b.constant(axes, int)


# reductions ----------------------------------------------------------------------------------------------------------
@model
def reduce_mean(b: Builder) -> tuple[str, str]:
    """Means over the channels, and over the width without keeping the axis."""
    x = _map(b)
    return b.op("ReduceMean", x, _axes(b, 1)), b.op("ReduceMean", x, _axes(b, 3), keepdims=0)


@model
def reduce_mean_sequence(b: Builder) -> str:
    """Mean over time, then a dense layer."""
    return b.gemm(b.op("ReduceMean", b.input(6, 8), _axes(b, 1), keepdims=0), 8, 5)


@model
def reduce_sum(b: Builder) -> tuple[str, str]:
    """Sums over the map, and over the channels and the height."""
    x = _map(b)
    return b.op("ReduceSum", x, _axes(b, 2, 3)), b.op("ReduceSum", x, _axes(b, 1, 2), keepdims=0)


@model
def reduce_max(b: Builder) -> tuple[str, str]:
    """Largest numbers over the channels and over the map."""
    x = _map(b)
    return b.op("ReduceMax", x, _axes(b, 1)), b.op("ReduceMax", x, _axes(b, 2, 3), keepdims=0)


@model
def reduce_min(b: Builder) -> tuple[str, str]:
    """Smallest numbers of the input over the height and over the channels."""
    x = b.input(3, 5, 7)
    return b.op("ReduceMin", x, _axes(b, 2)), b.op("ReduceMin", x, _axes(b, 1), keepdims=0)


@model
def reduce_l1(b: Builder) -> str:
    """Sum of magnitudes over the channels."""
    return b.op("ReduceL1", b.conv(b.input(3, 5, 7), (3, 6), pads=SAME), _axes(b, 1))


@model
def reduce_sum_square(b: Builder) -> str:
    """Sum of squares over the map."""
    return b.op("ReduceSumSquare", b.conv(b.input(3, 5, 7), (3, 6), pads=SAME), _axes(b, 2, 3), keepdims=0)


@model
def reduce_l2(b: Builder) -> str:
    """Norm over the width."""
    return b.op("ReduceL2", b.conv(b.input(3, 5, 7), (3, 6), pads=SAME), _axes(b, 3))


@model
def reduce_prod(b: Builder) -> str:
    """Product of three channels."""
    return b.op("ReduceProd", b.input(3, 4, 5), _axes(b, 1), keepdims=0)


@model
def reduce_log_sum(b: Builder) -> str:
    """Logarithm of a sum of sigmoids."""
    x = b.op("Sigmoid", b.conv(b.input(3, 5, 7), (3, 6), pads=SAME))
    return b.op("ReduceLogSum", x, _axes(b, 2, 3))


@model
def reduce_log_sum_exp(b: Builder) -> str:
    """Soft maximum over the channels."""
    return b.op("ReduceLogSumExp", b.conv(b.input(3, 5, 7), (3, 6), pads=SAME), _axes(b, 1))


@model
def global_max(b: Builder) -> str:
    """Largest number of the map."""
    return b.op("GlobalMaxPool", _map(b))


# products of two tensors ---------------------------------------------------------------------------------------------
@model
def matmul_tensors(b: Builder) -> str:
    """Scores of attention: each row with each row."""
    x = b.input(6, 8)
    query, key = (b.op("MatMul", x, b.weights(8, 8, fan_in=8)) for _ in range(2))
    return b.op("MatMul", query, b.op("Transpose", key, perm=[0, 2, 1]))


@model
def matmul_heads(b: Builder) -> str:
    """Scores and values of attention with two heads; right operands of 20 and 16 columns."""
    scores = b.op("MatMul", b.input(2, 20, 4, name="query"), b.input(2, 4, 20, name="key"))
    return b.op("MatMul", scores, b.input(2, 20, 16, name="value"))


@model
def matmul_constant_left(b: Builder) -> str:
    """A layer over the rows of a sequence: the constant stands on the left."""
    return b.op("MatMul", b.weights(5, 6, fan_in=6), b.input(6, 8))


# grouped convolutions ------------------------------------------------------------------------------------------------
@model
def conv_groups_many(b: Builder) -> str:
    """Groups of four channels in, two out."""
    return b.op("Relu", b.conv(b.input(16, 6, 6), (16, 8), group=4, pads=SAME))


@model
def conv_groups_1d(b: Builder) -> str:
    """Two groups over time."""
    return b.conv(b.input(4, 12), (4, 6), (3,), group=2, pads=[1, 1])


@model
def conv_multiplier(b: Builder) -> str:
    """Depthwise with two kernels for each channel."""
    return b.op("Relu", b.conv(b.input(3, 6, 6), (3, 6), group=3, pads=SAME))


@model
def conv_transpose_groups(b: Builder) -> str:
    """Doubles the map in two groups."""
    weight = b.weights(4, 3, 3, 3, fan_in=8)
    return b.op("ConvTranspose", b.input(4, 5, 5), weight, group=2, strides=[2, 2], pads=SAME)


@model
def conv_transpose_depthwise(b: Builder) -> str:
    """Doubles each channel by itself."""
    weight = b.weights(4, 1, 4, 4, fan_in=4)
    bias = b.weights(4, fan_in=16)
    return b.op("ConvTranspose", b.input(4, 5, 5), weight, bias, group=4, strides=[2, 2], pads=SAME)


@model
def conv_transpose_1d(b: Builder) -> str:
    """Doubles a sequence."""
    return b.op("Relu", b.conv_transpose(b.input(3, 9), (3, 4), (4,), strides=[2], pads=[1, 1]))


# interpolation -------------------------------------------------------------------------------------------------------
def _resized(b: Builder, x: str, scales: list[float], place: str) -> str:
    return b.op("Resize", x, "", b.constant(scales), mode="linear", coordinate_transformation_mode=place)


@model
def resize_linear(b: Builder) -> str:
    """Bilinear, twice as large."""
    return _resized(b, _map(b), [1, 1, 2, 2], "half_pixel")


@model
def resize_corners(b: Builder) -> str:
    """Bilinear with the corners on each other."""
    return _resized(b, _map(b), [1, 1, 2, 3], "align_corners")


@model
def resize_linear_1d(b: Builder) -> str:
    """Linear over time, half as long again."""
    return _resized(b, b.conv(b.input(3, 8), (3, 4), (3,), pads=[1, 1]), [1, 1, 1.5], "half_pixel")
