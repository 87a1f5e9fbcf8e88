"""Activations other than ReLU where they are part of a layer: behind convolutions of every kind, sums, and before averages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.testing.zoo.registry import model

if TYPE_CHECKING:
    from quaint.testing.builder import Builder

SAME = [1, 1, 1, 1]


def _stem(b: Builder) -> str:
    return b.op("Relu", b.conv(b.input(3, 8, 8), (3, 8), pads=SAME))


def _silu(b: Builder, x: str) -> str:
    return b.op("Mul", x, b.op("Sigmoid", x))


@model
def silu_residual(b: Builder) -> str:
    """SiLU behind a convolution, a depthwise one, and their sum."""
    x = _silu(b, b.conv(b.input(3, 8, 8), (3, 8), pads=SAME))
    y = _silu(b, b.conv(x, (8, 8), pads=SAME, group=8))
    return b.conv(_silu(b, b.op("Add", x, y)), (8, 4), (1, 1))


@model
def leaky_averaged(b: Builder) -> str:
    """A rectifier with a slope, averaged, then dense."""
    x = b.op("LeakyRelu", b.conv(_stem(b), (8, 8), pads=SAME), alpha=0.1)
    return b.gemm(b.op("Flatten", b.op("GlobalAveragePool", x)), 8, 5)


@model
def gelu_transposed(b: Builder) -> str:
    """GELU, as exporters write it, behind a transposed convolution."""
    x = b.conv_transpose(_stem(b), (8, 8), (4, 4), strides=[2, 2], pads=SAME)
    erf = b.op("Erf", b.op("Div", x, b.constant(2**0.5)))
    x = b.op("Mul", b.op("Mul", x, b.constant(0.5)), b.op("Add", erf, b.constant(1.0)))
    return b.conv(x, (8, 4), (1, 1))


@model
def hard_swish_dense(b: Builder) -> str:
    """HardSwish behind a convolution and a dense layer."""
    x = b.op("HardSwish", b.conv(_stem(b), (8, 8), pads=SAME, strides=[2, 2]))
    return b.gemm(b.op("HardSwish", b.gemm(b.op("Flatten", x), 128, 8)), 8, 5)


@model
def prelu_shared(b: Builder) -> str:
    """One learned slope for all channels."""
    x = b.op("PRelu", b.conv(_stem(b), (8, 8), pads=SAME), b.constant([[[0.2]]]))
    return b.conv(x, (8, 4), (1, 1))
