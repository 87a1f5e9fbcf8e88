"""Layers on single elements: arithmetic with constants, broadcasting, slopes, functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.testing.zoo.registry import model

if TYPE_CHECKING:
    from collections.abc import Callable

    from quaint.testing.builder import Builder

SAME = [1, 1, 1, 1]


def _map(b: Builder) -> str:
    """A feature map of four channels that nothing folds into: it is read twice."""
    return b.op("Relu", b.conv(b.input(3, 6, 6), (3, 4), pads=SAME))


# constants ------------------------------------------------------------------------------------------------------------
@model
def add_scalar(b: Builder) -> str:
    """A number added."""
    return b.op("Add", _map(b), b.constant(0.7))


@model
def add_channels(b: Builder) -> str:
    """A number for each channel subtracted, on the input of the model."""
    x = b.input(3, 6, 6)
    return b.conv(b.op("Sub", x, b.constant([[[0.5]], [[-0.3]], [[0.1]]])), (3, 4), pads=SAME)


@model
def add_tensor(b: Builder) -> str:
    """A constant for each element, such as a position's embedding, then ReLU."""
    return b.op("Relu", b.op("Add", _map(b), b.weights(1, 4, 6, 6, fan_in=4)))


@model
def constant_minus(b: Builder) -> str:
    """One minus a gate."""
    return b.op("Sub", b.constant(1.0), b.op("Sigmoid", b.conv(b.input(3, 6, 6), (3, 4), pads=SAME)))


@model
def multiply_scalar(b: Builder) -> str:
    """A number as a factor."""
    return b.op("Mul", _map(b), b.constant(0.3))


@model
def multiply_channels(b: Builder) -> str:
    """A factor for each channel of a map, and for each column of a row."""
    x = b.op("Mul", _map(b), b.weights(4, 1, 1, fan_in=1))
    return b.op("Mul", b.op("Flatten", b.op("GlobalAveragePool", b.op("Relu", x))), b.weights(4, fan_in=1))


@model
def multiply_tensor(b: Builder) -> str:
    """A constant mask over the map, the same for all channels."""
    return b.op("Mul", _map(b), b.weights(6, 6, fan_in=1))


# two tensors ----------------------------------------------------------------------------------------------------------
@model
def subtract(b: Builder) -> str:
    """Difference of two branches."""
    x = b.input(3, 6, 6)
    left, right = (b.conv(x, (3, 4), pads=SAME) for _ in range(2))
    return b.op("Sub", left, right)


@model
def squeeze_excite(b: Builder) -> str:
    """Channels weighed by a gate of one number each."""
    x = _map(b)
    gate = b.op("Relu", b.conv(b.op("GlobalAveragePool", x), (4, 2), (1, 1)))
    return b.op("Mul", x, b.op("Sigmoid", b.conv(gate, (2, 4), (1, 1))))


@model
def spatial_gate(b: Builder) -> str:
    """Positions weighed by a map of one channel, and a row added to all positions."""
    x = _map(b)
    gated = b.op("Mul", x, b.op("Sigmoid", b.conv(x, (4, 1), pads=SAME)))
    return b.op("Add", gated, b.op("GlobalAveragePool", x))


@model
def extremes(b: Builder) -> str:
    """The larger of two branches, then the smaller of that and a number for each channel."""
    x = b.input(3, 6, 6)
    larger = b.op("Max", *(b.conv(x, (3, 4), pads=SAME) for _ in range(2)))
    return b.op("Min", larger, b.constant([[[0.6]], [[0.9]], [[0.2]], [[1.3]]]))


# slopes and functions -------------------------------------------------------------------------------------------------
@model
def prelu(b: Builder) -> str:
    """A slope for each channel."""
    x = b.conv(b.input(3, 6, 6), (3, 4), pads=SAME)
    return b.conv(b.op("PRelu", x, b.constant([[[0.25]], [[0.1]], [[-0.3]], [[1.5]]])), (4, 4), (1, 1))


@model
def prelu_row(b: Builder) -> str:
    """A slope for each feature of a row, and one for all of a map."""
    x = b.op("PRelu", b.conv(b.input(3, 6, 6), (3, 4), pads=SAME), b.constant([[[0.2]]]))
    x = b.gemm(b.op("Flatten", b.op("GlobalAveragePool", x)), 4, 5)
    return b.op("PRelu", x, b.constant([0.1, 0.2, 0.3, 0.4, 0.5]))


def _function(op_type: str, **attributes: Any) -> Callable[[Builder], str]:
    """A convolution and a function of it."""

    def make(b: Builder) -> str:
        return b.op(op_type, b.conv(b.input(3, 6, 6), (3, 4), pads=SAME), **attributes)

    make.__name__ = op_type.lower()
    make.__doc__ = f"{op_type} of a feature map."
    return make


for _op_type, _attributes in {
    "Abs": {}, "Celu": {"alpha": 0.7}, "Cos": {}, "Elu": {}, "Erf": {}, "Exp": {},
    "HardSigmoid": {"alpha": 0.3}, "LeakyRelu": {"alpha": 0.1}, "Mish": {}, "Neg": {},
    "Selu": {}, "Sin": {}, "Softplus": {}, "Softsign": {}, "Tanh": {}, "ThresholdedRelu": {"alpha": 0.4},
}.items():  # fmt: skip
    model(_function(_op_type, **_attributes))


@model
def positive_functions(b: Builder) -> str:
    """Functions of what is not negative: square root, logarithm, reciprocal."""
    x = b.op("Sigmoid", b.conv(b.input(3, 6, 6), (3, 4), pads=SAME))
    return b.op("Sqrt", b.op("Reciprocal", b.op("Exp", b.op("Log", x))))


@model
def gelu(b: Builder) -> str:
    """GELU spelled out with the error function."""
    x = b.conv(b.input(3, 6, 6), (3, 4), pads=SAME)
    inner = b.op("Add", b.op("Erf", b.op("Div", x, b.constant(np.sqrt(2.0)))), b.constant(1.0))
    return b.op("Mul", b.op("Mul", x, inner), b.constant(0.5))


@model
def swish(b: Builder) -> str:
    """SiLU spelled out, and a hard gate that is not HardSwish."""
    x = b.conv(b.input(3, 6, 6), (3, 4), pads=SAME)
    x = b.conv(b.op("Mul", x, b.op("Sigmoid", x)), (4, 4), (1, 1))
    return b.op("Mul", x, b.op("HardSigmoid", x, alpha=0.25))
