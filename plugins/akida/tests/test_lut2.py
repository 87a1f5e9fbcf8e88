"""Activations by table: in every layer that has one, before an Add, averaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from akida_nets import SAME, dense, noise, ops, quantize

from quaint.testing.builder import Builder

if TYPE_CHECKING:
    from collections.abc import Callable


def gelu(net: Builder, x: str) -> str:
    """As exporters write it."""
    erf = net.op("Erf", net.op("Div", x, net.constant(np.sqrt(2))))
    return net.op("Mul", net.op("Mul", x, net.constant(0.5)), net.op("Add", erf, net.constant(1.0)))


ACTIVATIONS: dict[str, Callable[[Builder, str], str]] = {
    "gelu": gelu,
    "silu": lambda net, x: net.op("Mul", x, net.op("Sigmoid", x)),
    "hard_swish": lambda net, x: net.op("HardSwish", x),
    "leaky_relu": lambda net, x: net.op("LeakyRelu", x, alpha=0.3),
    "prelu": lambda net, x: net.op("PRelu", x, net.constant(np.full((8, 1, 1), 0.2))),
    "sigmoid": lambda net, x: net.op("Sigmoid", x),
    "tanh": lambda net, x: net.op("Tanh", x),
    "elu": lambda net, x: net.op("Elu", x),
    "softplus": lambda net, x: net.op("Softplus", x),
    "hard_tanh": lambda net, x: net.op("Clip", x, net.constant(-0.7), net.constant(0.9)),
}


def everywhere(name: str) -> tuple[Builder, str]:
    net, activate = Builder(name), ACTIVATIONS[name]
    x = activate(net, net.conv(net.input(3, 12, 12), (3, 8), pads=SAME))
    depthwise = activate(net, net.conv(x, (8, 8), pads=SAME, group=8))
    x = activate(net, net.op("Add", x, depthwise))
    x = activate(net, net.conv_transpose(x, (8, 8), (4, 4), strides=[2, 2], pads=SAME))
    x = net.op("MaxPool", activate(net, net.conv(x, (8, 8), (1, 1))), kernel_shape=[2, 2], strides=[2, 2])
    x = activate(net, net.conv(x, (8, 8), pads=SAME))
    return net, dense(net, net.op("GlobalAveragePool", x), 8)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_layer_that_has_a_table(name: str) -> None:
    net, output = everywhere(name)
    made, samples, truth = quantize(net, "akida2", output)
    behind = ["conv2d", "conv2d_transpose", "conv2d", "conv2d", "conv2d", "dense1d"]
    assert ops(made)[1:-1] == ["conv2d", "conv2d", "conv2d", "shifted_add", *behind]
    assert noise(made, samples, truth) < 0.001


def test_the_next_layer_counts_on_the_scale_that_the_table_gives() -> None:
    """Entries of 14 bits; a power of two before an Add; else exactly what mantissa and shift make of the entries."""
    net, output = everywhere("silu")
    made, _, _ = quantize(net, "akida2", output)
    _, _, first, added, after, *_ = made.integer.integer_layers
    assert added.op == "shifted_add"
    for layer in (first, after):
        constants, scale = layer.constants, made.integer.tensors[layer.outputs[0]].scale
        assert np.abs(constants["lut_values"]).max() <= 8191
        assert constants["lut_values"].dtype == np.int32
        factor = np.ldexp(constants["output_scale"].astype(float), -constants["output_shift"].astype(int))
        steps = scale * factor
        np.testing.assert_allclose(steps, np.exp2(np.rint(np.log2(steps[0]))), rtol=1e-15)
    assert (np.frexp(made.integer.tensors[first.outputs[0]].scale)[0] == 0.5).all()
    assert (np.frexp(made.integer.tensors[after.outputs[0]].scale)[0] != 0.5).any()


def test_four_bits_are_for_rectifiers() -> None:
    """Outputs of 4 bits have no sign; a table's output keeps 8."""
    net, output = everywhere("silu")
    made, _, _ = quantize(net, "akida2", output, activation_bits=4, weight_bits=4)
    assert {str(made.integer.tensors[layer.outputs[0]].dtype) for layer in made.integer.integer_layers[:-1]} == {"int8"}
