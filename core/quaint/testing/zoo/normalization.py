"""Probabilities, norms and quotients between layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.testing.zoo.registry import model

if TYPE_CHECKING:
    from quaint.testing.builder import Builder

SAME = [1, 1, 1, 1]


def _conv(b: Builder) -> str:
    return b.conv(b.input(3, 6, 6), (3, 4), pads=SAME)


@model
def softmax_between(b: Builder) -> str:
    """Probabilities over the channels, then another layer."""
    return b.conv(b.op("Softmax", _conv(b), axis=1), (4, 3), (1, 1))


@model
def log_softmax_between(b: Builder) -> str:
    """Logarithms of probabilities along the rows."""
    return b.conv(b.op("LogSoftmax", _conv(b), axis=-1), (4, 3), (1, 1))


@model
def softmax_twice(b: Builder) -> tuple[str, str]:
    """Probabilities that leave the model and go on to another layer."""
    x = b.op("Softmax", _conv(b), axis=1)
    return x, b.conv(x, (4, 3), (1, 1))


@model
def instance_norm(b: Builder) -> str:
    """Each channel of a map normalized."""
    return b.op("InstanceNormalization", _conv(b), b.weights(4, fan_in=2), b.weights(4, fan_in=16), epsilon=1e-3)


@model
def group_norm(b: Builder) -> str:
    """Pairs of channels of a map normalized, as PyTorch writes it out."""
    groups = b.op("Reshape", _conv(b), b.constant([0, 2, -1], int))
    normed = b.op("InstanceNormalization", groups, b.constant([1.0, 1.0]), b.constant([0.0, 0.0]))
    x = b.op("Reshape", normed, b.constant([0, 4, 6, 6], int))
    return b.op("Add", b.op("Mul", x, b.weights(4, 1, 1, fan_in=2)), b.weights(4, 1, 1, fan_in=16))


@model
def layer_norm(b: Builder) -> str:
    """Layer normalization of a sequence."""
    x = b.op("MatMul", b.input(6, 8), b.weights(8, 8, fan_in=8))
    return b.op("LayerNormalization", x, b.weights(8, fan_in=2), b.weights(8, fan_in=16))


@model
def layer_norm_written_out(b: Builder) -> str:
    """The same as older exporters have it."""
    x = b.op("MatMul", b.input(6, 8), b.weights(8, 8, fan_in=8))
    centred = b.op("Sub", x, b.op("ReduceMean", x, b.constant([-1], int)))
    variance = b.op("ReduceMean", b.op("Mul", centred, centred), b.constant([-1], int))
    normed = b.op("Div", centred, b.op("Sqrt", b.op("Add", variance, b.constant(1e-5))))
    return b.op("Add", b.op("Mul", normed, b.weights(8, fan_in=2)), b.weights(8, fan_in=16))


@model
def rms_norm(b: Builder) -> str:
    """Root mean square normalization of a sequence."""
    x = b.op("MatMul", b.input(6, 8), b.weights(8, 8, fan_in=8))
    root = b.op("Sqrt", b.op("Add", b.op("ReduceMean", b.op("Mul", x, x), b.constant([-1], int)), b.constant(1e-5)))
    return b.op("Mul", b.op("Div", x, root), b.weights(8, fan_in=2))


@model
def lp_norm(b: Builder) -> str:
    """Channels divided by their Euclidean norm at every pixel."""
    return b.op("LpNormalization", _conv(b), axis=1, p=2)


@model
def quotient(b: Builder) -> str:
    """One tensor divided by another, which is not near zero."""
    x = b.input(3, 6, 6)
    return b.op("Div", b.conv(x, (3, 4), pads=SAME), b.op("Exp", b.conv(x, (3, 4), pads=SAME)))


@model
def cube(b: Builder) -> str:
    """A power with a number."""
    return b.op("Pow", _conv(b), b.constant(3.0))
