"""Layers over time: a float model with time as axis 2, in integers frame after frame."""

from __future__ import annotations

import numpy as np
import pytest
from akida_nets import noise, ops, quantize

from quaint.testing.builder import Builder


def stream(*, depthwise: bool = False) -> tuple[Builder, str]:
    net = Builder("stream")
    x = net.op("Relu", net.conv(net.input(3, 8, 10, 10), (3, 8), (1, 3, 3), pads=[0, 1, 1] * 2))
    group = {"group": 8} if depthwise else {}
    x = net.op("Relu", net.conv(x, (8, 8), (4, 1, 1), pads=[3, 0, 0, 0, 0, 0], **group))
    x = net.op("HardSwish", net.conv(x, (8, 8), (1, 3, 3), pads=[0, 1, 1] * 2, strides=[1, 1, 1]))
    return net, net.conv(x, (8, 8), (2, 1, 1), pads=[1, 0, 0, 0, 0, 0])


def series() -> tuple[Builder, str]:
    """Without rows and columns: a temporal convolutional network."""
    net = Builder("series")
    x = net.op("Relu", net.conv(net.input(6, 16), (6, 8), (1,)))
    x = net.op("Relu", net.conv(x, (8, 8), (5,), pads=[4, 0]))
    return net, net.conv(x, (8, 4), (1,))


@pytest.mark.parametrize("depthwise", [False, True])
def test_frames_and_time(depthwise: bool) -> None:
    net, output = stream(depthwise=depthwise)
    made, samples, truth = quantize(net, "akida2", output)
    assert ops(made) == ["input_quantizer", "conv2d", "buffer_temp_conv", "conv2d", "buffer_temp_conv", "dequantizer"]
    assert noise(made, samples, truth) < 0.005


def test_a_frame_sees_only_those_before_it() -> None:
    net, output = stream()
    made, samples, _ = quantize(net, "akida2", output)
    (name,) = made.integer.outputs
    other = samples.copy()
    other[:, :, 5:] = 0.5
    before, after = made.run(samples[:4])[name], made.run(other[:4])[name]
    np.testing.assert_array_equal(before[:, :, :5], after[:, :, :5])
    assert (before[:, :, 5:] != after[:, :, 5:]).any()


def test_series() -> None:
    net, output = series()
    made, samples, truth = quantize(net, "akida2", output, input_dtype="int8")
    assert ops(made) == ["input_quantizer", "conv2d", "buffer_temp_conv", "conv2d", "dequantizer"]
    assert noise(made, samples, truth) < 0.005
