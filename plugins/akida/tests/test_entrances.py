"""A normalization of the input: free for images, a layer for others; borders that integers cannot say are named."""

from __future__ import annotations

import numpy as np
import pytest
from akida_nets import SAME, dense, noise, ops, quantize, reasons

from quaint import pipeline
from quaint.config import Config
from quaint.floatmodel import FloatModel
from quaint.rewrite import rewrite
from quaint.testing.builder import Builder

REWRITTEN = "a scale and an offset of the input now"


def normalized(
    channels: int, *, shift: float = 0.1, positive: bool = True, pads: list[int] = SAME
) -> tuple[Builder, str]:
    """Batch normalization of the input, before a convolution with borders."""
    net, random = Builder("normalized"), np.random.default_rng(3)
    gamma = random.uniform(0.5, 1.5, channels) * (1 if positive else -1)
    parameters = (gamma, np.full(channels, shift), random.normal(0, 0.1, channels), random.uniform(0.5, 1.5, channels))
    x = net.op("BatchNormalization", net.input(channels, 12, 12), *map(net.constant, parameters))
    x = net.op("Relu", net.conv(x, (channels, 8), pads=pads))
    x = net.op("Relu", net.conv(x, (8, 8), pads=SAME))
    return net, dense(net, net.op("GlobalAveragePool", x), 8)


@pytest.mark.parametrize(
    ("target", "channels", "wishes"),
    [("akida1", 1, {}), ("akida2", 1, {}), ("akida2", 3, {}), ("akida2", 3, {"input_dtype": "uint8"})],
)
def test_of_an_image_it_costs_nothing(target: str, channels: int, wishes: dict[str, str]) -> None:
    net, output = normalized(channels)
    before = pipeline.canonical(pipeline.load_model(net.build(output)), Config())
    after = before.clone()
    (line,) = rewrite(after, pipeline.find_target(target), Config(**wishes))
    assert REWRITTEN in line
    x = net.samples(4)
    truth, result = (next(iter(FloatModel(model).run(x).values())) for model in (before, after))
    np.testing.assert_allclose(result, truth, rtol=1e-5, atol=1e-5)
    made, samples, floats = quantize(net, target, output, quantizer="ranges", **wishes)
    assert ops(made)[:3] == ["input_quantizer", "reshape", "conv2d" if target == "akida2" else "convolutional"]
    assert made.warnings == (line,)
    assert noise(made, samples, floats) < (0.05 if target == "akida1" else 0.0005)


@pytest.mark.parametrize(("channels", "wishes"), [(4, {}), (3, {"input_dtype": "int8"})])
def test_of_other_inputs_it_is_a_layer(channels: int, wishes: dict[str, str]) -> None:
    net, output = normalized(channels)
    made, samples, floats = quantize(net, "akida2", output, **wishes)
    assert ops(made)[1:4] == ["conv2d"] * 3
    assert not any(REWRITTEN in line for line in made.warnings)
    assert noise(made, samples, floats) < 0.0005


def test_what_the_chips_lack_of_it_is_refused() -> None:
    net, output = normalized(3)
    assert "its border would differ between channels: rescale all of them alike" in reasons(net, "akida1", output)
    net, output = normalized(3, positive=False)
    assert "cannot be the first layer" in reasons(net, "akida1", output)
    assert "uint8 enters only through a convolution (not depthwise)" in reasons(
        net, "akida2", output, input_dtype="uint8"
    )


def rescaled(offset: float, pads: list[int]) -> tuple[Builder, str]:
    net = Builder("rescaled")
    x = net.op("Add", net.input(3, 12, 12), net.constant(offset))
    return net, dense(net, net.op("GlobalAveragePool", net.op("Relu", net.conv(x, (3, 8), pads=pads))), 8)


@pytest.mark.parametrize(
    ("offset", "wishes", "warned"),
    [
        (0.5, {}, None),
        (-2.0, {}, "its border is 0 to 255, where zero would be 38"),
        (0.5, {"input_dtype": "int8"}, "its border is 0, where zero would be -64 -64"),
    ],
)
def test_a_border_that_is_not_zero_is_named(offset: float, wishes: dict[str, str], warned: str | None) -> None:
    net, output = rescaled(offset, SAME)
    made, samples, floats = quantize(net, "akida2", output, **wishes)
    found = [line for line in made.warnings if "border" in line]
    assert len(found) == (warned is not None)
    assert warned is None or warned in found[0]
    assert (noise(made, samples, floats) < 0.0005) == (warned is None)
    net, output = rescaled(offset, [0] * 4)
    if not wishes:  # borders of an image alone
        made, samples, floats = quantize(net, "akida2", output)
        assert not made.warnings
        assert noise(made, samples, floats) < 0.0005
