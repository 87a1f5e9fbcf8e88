"""The input layer hands its output to one convolution."""

from __future__ import annotations

import pytest
from akida_nets import SAME, noise, ops, quantize
from akida_vendor import needs_runtime

from quaint.testing.builder import Builder
from quaint_akida.runtime_mapping import map_model


def residual(activation: str) -> tuple[Builder, str]:
    """A block around a convolution, right behind the input layer."""
    net = Builder("residual")
    stem = net.conv(net.input(3, 12, 12), (3, 8), pads=SAME)
    stem = net.op("Mul", stem, net.op("Sigmoid", stem)) if activation == "SiLU" else net.op(activation, stem)
    block = net.op("Relu", net.conv(stem, (8, 8), pads=SAME))
    joined = net.op("Add", stem, net.conv(block, (8, 8), pads=SAME))
    return net, net.conv(net.op("Relu", joined), (8, 4), (1, 1))


@pytest.mark.parametrize("activation", ["Relu", "HardSwish", "SiLU"])
def test_an_identity_follows_where_it_divides(activation: str) -> None:
    net, output = residual(activation)
    made, samples, truth = quantize(net, "akida2", output)
    assert ops(made)[1:-1] == ["conv2d", "conv2d", "conv2d", "conv2d", "shifted_add", "conv2d", "conv2d"]
    assert any("the input layer feeds one convolution" in line for line in made.warnings)
    readers = [layer for layer in made.integer.layers if made.integer.layers[1].outputs[0] in layer.inputs]
    assert len(readers) == 1
    assert noise(made, samples, truth) < 0.01


def test_nothing_follows_where_it_does_not() -> None:
    net = Builder("chain")
    x = net.op("Relu", net.conv(net.input(3, 12, 12), (3, 8), pads=SAME))
    made, _, _ = quantize(net, "akida2", net.conv(x, (8, 4), pads=SAME))
    assert ops(made)[1:-1] == ["conv2d", "conv2d"]


@needs_runtime
def test_it_maps() -> None:
    net, output = residual("Relu")
    made, _, _ = quantize(net, "akida2", output)
    (sequence,) = map_model(made.integer, "SixNodesIPv2").sequences
    assert sequence.backend == "Hardware"
