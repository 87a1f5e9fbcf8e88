"""Layers that most chips have, one model each, and a few whole networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.testing.zoo.registry import model

if TYPE_CHECKING:
    from quaint.testing.builder import Builder

SAME = [1, 1, 1, 1]


# single layers -------------------------------------------------------------------------------------------------------
@model
def conv(b: Builder) -> str:
    """3x3 convolution without borders."""
    return b.conv(b.input(3, 8, 8), (3, 4))


@model
def conv_relu(b: Builder) -> str:
    """3x3 convolution with ReLU."""
    return b.op("Relu", b.conv(b.input(3, 8, 8), (3, 4), pads=SAME))


@model
def conv_pointwise(b: Builder) -> str:
    """1x1 convolution with ReLU6."""
    x = b.conv(b.input(3, 8, 8), (3, 8), (1, 1))
    return b.op("Clip", x, b.constant(0.0), b.constant(6.0))


@model
def conv_strides(b: Builder) -> str:
    """Strides of 2 and borders on one side only."""
    return b.op("Relu", b.conv(b.input(3, 9, 9), (3, 4), strides=[2, 2], pads=[0, 0, 1, 1]))


@model
def conv_dilations(b: Builder) -> str:
    """Dilated convolution."""
    return b.op("Relu", b.conv(b.input(3, 9, 9), (3, 4), dilations=[2, 2], pads=[2, 2, 2, 2]))


@model
def conv_groups(b: Builder) -> str:
    """Two groups."""
    return b.op("Relu", b.conv(b.input(4, 8, 8), (4, 6), group=2, pads=SAME))


@model
def conv_kernel(b: Builder) -> str:
    """A kernel that is wider than high."""
    return b.op("Relu", b.conv(b.input(2, 7, 9), (2, 4), (1, 5), pads=[0, 2, 0, 2]))


@model
def conv_depthwise(b: Builder) -> str:
    """A kernel of its own for each channel, then 1x1."""
    x = b.op("Relu", b.conv(b.input(3, 8, 8), (3, 8), pads=SAME))
    x = b.op("Relu", b.conv(x, (8, 8), group=8, pads=SAME))
    return b.op("Relu", b.conv(x, (8, 4), (1, 1)))


@model
def conv_1d(b: Builder) -> str:
    """Two convolutions over time."""
    x = b.op("Relu", b.conv(b.input(4, 16), (4, 8), (3,), pads=[1, 1]))
    return b.op("Relu", b.conv(x, (8, 4), (5,), strides=[2]))


@model
def conv_transpose(b: Builder) -> str:
    """Doubles the map."""
    x = b.op("Relu", b.conv(b.input(3, 6, 6), (3, 4), pads=SAME))
    return b.op("Relu", b.conv_transpose(x, (4, 3), (3, 3), strides=[2, 2], pads=SAME, output_padding=[1, 1]))


@model
def gemm(b: Builder) -> str:
    """A dense layer."""
    return b.gemm(b.input(12), 12, 5)


@model
def matmul(b: Builder) -> str:
    """Product over the last axis of a sequence, with a bias."""
    x = b.op("MatMul", b.input(6, 8), b.weights(8, 5, fan_in=8))
    return b.op("Add", x, b.weights(5, fan_in=16))


@model
def relu(b: Builder) -> str:
    """ReLU by itself."""
    return b.op("Relu", b.input(3, 6, 6))


@model
def clip(b: Builder) -> str:
    """Clip by itself, to bounds inside the range."""
    return b.op("Clip", b.input(3, 6, 6), b.constant(-0.5), b.constant(0.75))


@model
def add(b: Builder) -> str:
    """Sum of two branches."""
    x = b.input(3, 6, 6)
    left, right = (b.op("Relu", b.conv(x, (3, 4), pads=SAME)) for _ in range(2))
    return b.op("Add", left, right)


@model
def add_input(b: Builder) -> str:
    """A residual around the first layer: the model's input is added."""
    x = b.input(4, 6, 6)
    return b.op("Relu", b.op("Add", b.conv(x, (4, 4), pads=SAME), x))


@model
def concat(b: Builder) -> str:
    """Two branches of different ranges, joined along the channels."""
    x = b.input(3, 6, 6)
    left = b.op("Relu", b.conv(x, (3, 4), pads=SAME))
    right = b.op("Clip", b.conv(x, (3, 2), pads=SAME), b.constant(0.0), b.constant(0.5))
    return b.op("Relu", b.conv(b.op("Concat", left, right, axis=1), (6, 4), (1, 1)))


@model
def maxpool(b: Builder) -> str:
    """2x2 max pooling, then 3x3 with a stride of 1 and borders."""
    x = b.op("Relu", b.conv(b.input(3, 8, 8), (3, 4), pads=SAME))
    x = b.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    return b.op("MaxPool", x, kernel_shape=[3, 3], pads=SAME)


@model
def avgpool(b: Builder) -> str:
    """2x2 average pooling, then 3x3 with borders that do not count."""
    x = b.op("Relu", b.conv(b.input(3, 8, 8), (3, 4), pads=SAME))
    x = b.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    return b.op("AveragePool", x, kernel_shape=[3, 3], pads=SAME)


@model
def global_average(b: Builder) -> str:
    """Average over the map."""
    x = b.op("Relu", b.conv(b.input(3, 7, 7), (3, 4), pads=SAME))
    return b.op("GlobalAveragePool", x)


@model
def moves(b: Builder) -> str:
    """Transpose, Reshape and Flatten on the way to a dense layer."""
    x = b.op("Relu", b.conv(b.input(3, 4, 6), (3, 4), pads=SAME))
    x = b.op("Transpose", x, perm=[0, 2, 1, 3])
    x = b.op("Reshape", x, b.constant([0, 4, -1], int))
    return b.gemm(b.op("Flatten", x), 96, 5)


@model
def sigmoid(b: Builder) -> str:
    """A function that many chips have as a table."""
    return b.op("Sigmoid", b.conv(b.input(3, 6, 6), (3, 4), pads=SAME))


@model
def hard_swish(b: Builder) -> str:
    """Hard swish on a feature map."""
    return b.op("HardSwish", b.conv(b.input(3, 6, 6), (3, 4), pads=SAME))


# whole networks ------------------------------------------------------------------------------------------------------
def _head(b: Builder, x: str, channels: int) -> str:
    """Average, flatten, dense layer to five classes."""
    return b.gemm(b.op("Flatten", b.op("GlobalAveragePool", x)), channels, 5)


@model
def softmax_head(b: Builder) -> str:
    """Probabilities."""
    x = b.op("Relu", b.conv(b.input(3, 8, 8), (3, 8), strides=[2, 2], pads=SAME))
    return b.op("Softmax", _head(b, x, 8), axis=1)


@model
def two_inputs(b: Builder) -> str:
    """A map and a vector, joined in a dense layer."""
    x = b.op("Relu", b.conv(b.input(3, 6, 6, name="image"), (3, 4), strides=[2, 2], pads=SAME))
    y = b.op("Relu", b.gemm(b.input(6, name="vector"), 6, 4))
    return b.gemm(b.op("Concat", b.op("Flatten", x), y, axis=1), 40, 5)


@model
def two_outputs(b: Builder) -> tuple[str, str]:
    """Classes and a map from one trunk."""
    x = b.op("Relu", b.conv(b.input(3, 8, 8), (3, 6), pads=SAME))
    return _head(b, x, 6), b.conv(x, (6, 2), (1, 1))


@model
def small_cnn(b: Builder) -> str:
    """Three convolutions, pooling, a dense layer."""
    x = b.op("Relu", b.conv(b.input(3, 16, 16), (3, 8), pads=SAME))
    x = b.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = b.op("Relu", b.conv(x, (8, 12), pads=SAME, strides=[2, 2]))
    x = b.op("Relu", b.conv(x, (12, 12), (1, 1)))
    return _head(b, x, 12)


@model
def residual_cnn(b: Builder) -> str:
    """Two residual blocks, one of them with a projection."""
    x = b.op("Relu", b.conv(b.input(3, 12, 12), (3, 6), pads=SAME))
    y = b.conv(b.op("Relu", b.conv(x, (6, 6), pads=SAME)), (6, 6), pads=SAME)
    x = b.op("Relu", b.op("Add", x, y))
    y = b.op("Relu", b.conv(x, (6, 8), strides=[2, 2], pads=SAME))
    x = b.op("Relu", b.op("Add", b.conv(x, (6, 8), (1, 1), strides=[2, 2]), y))
    return _head(b, x, 8)
