from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from akida_nets import SAME, noise, quantize
from hypothesis import given, settings
from hypothesis import strategies as st

from quaint.testing.builder import Builder


@pytest.mark.parametrize("bits", [1, 2, 4])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_steps_are_exact(bits: int, seed: int) -> None:
    """A level is as wide as the next layer's input scale says, in whole sixteenths; it is the nearest level."""
    net = Builder(f"steps{seed}")
    x = net.op("Relu", net.conv(net.input(1, 8, 8), (1, 4), pads=SAME))
    x = net.op("Relu", net.conv(x, (4, 6), pads=SAME))
    output = net.gemm(net.op("Flatten", net.op("GlobalAveragePool", x)), 6, 3)
    made, _, _ = quantize(net, "akida1", output, activation_bits=bits)
    tensors, random = made.integer.tensors, np.random.default_rng(seed)
    for layer in made.integer.integer_layers[:2]:
        step, threshold = layer.constants["step"], layer.constants["threshold"]
        assert (step % (1 << (4 - bits)) == 0).all()
        assert (step >> (4 - bits) >= 1).all()
        source, out = tensors[layer.inputs[0]], tensors[layer.outputs[0]]
        unit = tensors[f"{layer.name}/weight"].scale * source.scale
        np.testing.assert_allclose(unit * step, 16 * out.scale, rtol=1e-14)
        for f in range(len(step)):
            potential = int(random.integers(-(1 << 14), 1 << 14))
            level = min(max(-((-16 * (potential - int(threshold[f]))) // int(step[f])), 0), (1 << bits) - 1)
            wanted = Fraction(16 * (potential - int(threshold[f])), int(step[f]))  # counted from half a step below zero
            assert level in {0, (1 << bits) - 1} or 0 <= level - wanted < 1


def test_thresholds_hold_half_a_step_and_the_bias() -> None:
    net = Builder("thresholds")
    x = net.op("Relu", net.conv(net.input(1, 8, 8), (1, 4), pads=SAME))
    x = net.op("Relu", net.conv(x, (4, 6), pads=SAME))
    output = net.gemm(net.op("Flatten", net.op("GlobalAveragePool", x)), 6, 3)
    made, _, _ = quantize(net, "akida1", output, quantizer="ranges")
    layer = made.integer.integer_layers[1]
    unit = made.integer.tensors[f"{layer.name}/weight"].scale * made.integer.tensors[layer.inputs[0]].scale
    assert made.source is not None
    bias = made.source.graph.initializers["constant3"].const_value.numpy()
    wanted = layer.constants["step"] / 32 - bias / unit
    assert (np.abs(layer.constants["threshold"] - wanted) <= 0.5).all()


def test_reconstruction_rounds_for_less_noise_and_keeps_steps_exact() -> None:
    """The chip moves the scales that it asks for to whole sixteenths; its weights are fitted to those."""
    found = {}
    for quantizer in ("bias-correction", "reconstruction"):
        net = Builder("rounding")
        x = net.op("Relu", net.conv(net.input(3, 12, 12), (3, 16), pads=SAME))
        x = net.op("Relu", net.conv(x, (16, 16), pads=SAME))
        x = net.op("Relu", net.conv(x, (16, 24), pads=SAME))
        output = net.gemm(net.op("Flatten", net.op("GlobalAveragePool", x)), 24, 5)
        made, samples, truth = quantize(net, "akida1", output, quantizer=quantizer)
        found[quantizer] = noise(made, samples, truth)
        tensors = made.integer.tensors
        for layer in made.integer.integer_layers[:3]:
            unit = tensors[f"{layer.name}/weight"].scale * tensors[layer.inputs[0]].scale
            np.testing.assert_allclose(unit * layer.constants["step"], 16 * tensors[layer.outputs[0]].scale, rtol=1e-12)
    assert found["reconstruction"] < 0.8 * found["bias-correction"]
