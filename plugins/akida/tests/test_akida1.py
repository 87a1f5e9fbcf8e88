from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from akida_nets import DIGITS, SAME, channel_last, needs_data, noise, ops, quantize, real_model, reasons, run_float, top1
from onnx import TensorProto

from quaint import pipeline
from quaint.errors import QuaintError
from quaint.testing.builder import Builder


def entrance(net: Builder, channels: int = 3, size: int = 12, filters: int = 8) -> str:
    """The input layer with a ReLU."""
    return net.op("Relu", net.conv(net.input(channels, size, size), (channels, filters), pads=SAME))


def dense(net: Builder, x: str, inputs: int) -> str:
    return net.gemm(net.op("Flatten", x), inputs, 10)


def separable(net: Builder, x: str, channels: tuple[int, int], **attributes: Any) -> str:
    depthwise = net.conv(x, (channels[0], channels[0]), **{"pads": SAME, **attributes}, group=channels[0])
    return net.op("Relu", net.conv(depthwise, channels, (1, 1)))


def sequential() -> tuple[Builder, str]:
    net = Builder("sequential")
    x = net.op("MaxPool", entrance(net), kernel_shape=[2, 2], strides=[2, 2])
    x = net.op("Relu", net.conv(x, (8, 16), strides=[2, 2], pads=[0, 0, 1, 1]))
    x = separable(net, x, (16, 32))
    return net, dense(net, net.op("GlobalAveragePool", x), 32)


def flattened() -> tuple[Builder, str]:
    net = Builder("flattened")
    x = net.op("Relu", dense(net, entrance(net, channels=1, size=6), 8 * 36))
    return net, net.gemm(x, 10, 4)


def averaged() -> tuple[Builder, str]:
    """The last convolution is averaged and gives potentials."""
    net = Builder("averaged")
    return net, net.op("GlobalAveragePool", net.conv(entrance(net), (8, 10), (1, 1)))


@pytest.mark.parametrize("make", [sequential, flattened, averaged])
def test_integers_are_near_the_float_model(make: Any) -> None:
    net, output = make()
    made, samples, truth = quantize(net, "akida1", output, observer="minmax")
    assert "host" not in ops(made)
    assert noise(made, samples, truth) < 0.08


@pytest.mark.parametrize("bits", [4, 2])
def test_widths(bits: int) -> None:
    made, _, _ = quantize(*sequential_for("akida1"), weight_bits=bits, activation_bits=bits)
    for layer in made.integer.integer_layers[1:]:
        assert np.abs(layer.constants["weight"]).max() == (1 << (bits - 1)) - 1
    assert np.abs(made.integer.integer_layers[0].constants["weight"]).max() > 120
    assert str(made.integer.tensors[made.integer.integer_layers[0].outputs[0]].dtype) == f"uint{bits}"


def sequential_for(target: str) -> tuple[Builder, str, str]:
    net, output = sequential()
    return net, target, output


def test_the_border_is_the_zero_point() -> None:
    made, _, _ = quantize(*sequential_for("akida1"))
    first = made.integer.integer_layers[0]
    assert first.attributes["padding_value"] == int(made.integer.tensors[first.inputs[0]].zero_point) > 100


def test_typed_channel_last_input() -> None:
    samples = np.random.default_rng(0).integers(0, 256, (32, 9, 9, 3)).astype(np.uint8)
    model = channel_last((9, 9, 3), TensorProto.UINT8)
    made = pipeline.quantize(model, "akida1", samples)
    assert ops(made) == ["transpose", "convolutional", "convolutional", "dequantizer"]
    assert noise(made, samples, run_float(model, samples)) < 0.1


def test_int8_does_not_enter() -> None:
    samples = np.zeros((32, 9, 9, 3), np.int8)
    with pytest.raises(QuaintError, match="akida1 takes no int8 input"):
        pipeline.quantize(channel_last((9, 9, 3), TensorProto.INT8), "akida1", samples)


def test_until() -> None:
    made, samples, truth = quantize(*sequential_for("akida1"), until="relu1", observer="minmax")
    assert ops(made) == ["input_quantizer", "convolutional", "convolutional", "dequantizer", "host"]
    assert noise(made, samples, truth) < 0.08


def test_softmax_runs_on_the_host_without_a_word() -> None:
    net, output = sequential()
    made, _, _ = quantize(net, "akida1", net.op("Softmax", output))
    assert ops(made)[-2:] == ["dequantizer", "host"]
    assert not made.warnings


def test_a_layer_that_the_chip_lacks_ends_the_chips_part() -> None:
    net = Builder("softplus")
    made, _, _ = quantize(net, "akida1", dense(net, net.op("Softplus", entrance(net, size=6)), 8 * 36))
    assert ops(made) == ["input_quantizer", "convolutional", "dequantizer", "host"]
    assert any("softplus0" in warning for warning in made.warnings)


def test_digits() -> None:
    samples, labels = np.load(DIGITS / "test.npz")["input"], np.load(DIGITS / "labels.npz")["labels"]
    made = pipeline.quantize(str(DIGITS / "digits.onnx"), "akida1", np.load(DIGITS / "calibration.npz")["input"])
    assert top1(made.run(samples)["logits"], labels) >= 0.9956 - 0.02


@needs_data
def test_mnist() -> None:
    path, calibration, samples, labels = real_model("mnist_cntk.onnx")
    made = pipeline.quantize(path, "akida1", calibration)
    assert top1(made.run(samples)[made.integer.outputs[0]], labels) >= 0.97


@needs_data
def test_keyword_spotting_is_refused_with_every_reason() -> None:
    path, calibration, _, _ = real_model("kws_ref_model.onnx")
    with pytest.raises(QuaintError, match="QT310") as caught:
        pipeline.quantize(path, "akida1", calibration)
    text = "\n".join(caught.value.details)
    assert "conv2d (Conv): kernel 10x4 is not square" in text
    assert "depthwise_conv2d_3 (Conv): a depthwise convolution needs a pointwise one right after it" in text


# limits --------------------------------------------------------------------------------------------------------------
def first(size: tuple[int, int] = (12, 12), kernel: int = 3, **attributes: Any) -> tuple[Builder, str]:
    net, filters = Builder("first"), attributes.pop("filters", 8)
    channels = attributes.pop("channels", 3)
    x = net.op("Relu", net.conv(net.input(channels, *size), (channels, filters), (kernel, kernel), **attributes))
    return net, net.op("Relu", net.conv(x, (filters, 4), pads=SAME))


def inner(kernel: int = 3, channels: int = 8, size: int = 12, **attributes: Any) -> tuple[Builder, str]:
    net = Builder("inner")
    return net, net.op("Relu", net.conv(entrance(net, size=size, filters=channels), (channels, 8), (kernel, kernel), **attributes))


def depthwise(**attributes: Any) -> tuple[Builder, str]:
    net = Builder("depthwise")
    return net, separable(net, entrance(net), (8, 8), **attributes)


def inner_relu() -> tuple[Builder, str]:
    net = Builder("inner_relu")
    x = net.op("Relu", net.conv(entrance(net), (8, 8), pads=SAME, group=8))
    return net, net.op("Relu", net.conv(x, (8, 8), (1, 1)))


def two_convolutions() -> tuple[Builder, str]:
    net = Builder("two_convolutions")
    return net, net.op("Relu", net.conv(net.conv(entrance(net), (8, 8), pads=SAME), (8, 8), pads=SAME))


def depthwise_and_wide() -> tuple[Builder, str]:
    net = Builder("depthwise_and_wide")
    return net, net.op("Relu", net.conv(net.conv(entrance(net), (8, 8), pads=SAME, group=8), (8, 8), pads=SAME))


def pooled(stride: int = 1, **attributes: Any) -> tuple[Builder, str]:
    net = Builder("pooled")
    pads = [0, 0, 1, 1] if stride == 2 else SAME
    x = net.op("Relu", net.conv(entrance(net), (8, 8), strides=[stride, stride], pads=pads))
    return net, net.op("Relu", net.conv(net.op("MaxPool", x, **attributes), (8, 8), pads=SAME))


def pooled_dense() -> tuple[Builder, str]:
    net = Builder("pooled_dense")
    x = net.op("Relu", net.conv(entrance(net), (8, 8), pads=SAME))
    return net, dense(net, net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), 8 * 36)


def large_average(size: int, *, after_depthwise: bool = False) -> tuple[Builder, str]:
    net = Builder("large_average")
    x = entrance(net, size=size)
    if after_depthwise:
        x = net.conv(net.conv(x, (8, 8), pads=SAME, group=8), (8, 8), (1, 1))
        return net, net.op("GlobalAveragePool", x)
    return net, dense(net, net.op("GlobalAveragePool", x), 8)


def branched() -> tuple[Builder, str]:
    net = Builder("branched")
    x = entrance(net)
    return net, net.op("Add", *(net.op("Relu", net.conv(x, (8, 8), pads=SAME)) for _ in range(2)))


def dense_first() -> tuple[Builder, str]:
    net = Builder("dense_first")
    return net, net.gemm(net.input(8), 8, 4)


def negative_clip() -> tuple[Builder, str]:
    net = Builder("negative_clip")
    low, high = net.constant(-1.0), net.constant(1.0)
    return net, net.op("Clip", net.conv(entrance(net), (8, 8), pads=SAME), low, high)


LIMITS = {
    "the input layer takes 1 or 3 channels, not 2": first(channels=2, pads=SAME),
    "the input layer's kernel is 3, 5 or 7, not 1": first(kernel=1),
    "the input layer's stride is 1 to 3, not 4": first(strides=[4, 4], pads=SAME),
    "padding [0, 1, 0, 1] is not 'same'": first(pads=[0, 1, 0, 1]),
    "5 to 256 wide and at least 5 high, not 4x12": first(size=(4, 12), pads=SAME),
    "5 to 256 wide and at least 5 high, not 6x300": first(size=(6, 300), pads=SAME),
    "the input layer has 192 filters at the most here, not 200": first(filters=200, pads=SAME),
    "kernel is 1, 3, 5 or 7, not 2": inner(2, pads=[0, 0, 1, 1]),
    "a filter of 3x3x512 does not fit": inner(channels=512, pads=SAME, size=6),
    "stride 2 with kernel 5: only 1, or 2 with kernel 3": inner(5, strides=[2, 2], pads=[1, 1, 2, 2]),
    "padding [1, 1, 1, 1] is not 'same'": inner(strides=[2, 2], pads=SAME),
    "2048 channels and filters at the most, not 2064": inner(1, channels=2064, size=5),
    "a depthwise convolution needs a pointwise one right after it": inner_relu(),
    "stride 2 with kernel 5: only": depthwise(kernel=(5, 5), strides=[2, 2], pads=[1, 1, 2, 2]),
    "only a pointwise one (1x1, stride 1)": depthwise_and_wide(),
    "two convolutions in a row without ReLU between": two_convolutions(),
    "max pooling 3x3 with stride 2: only 2x2": pooled(kernel_shape=[3, 3], strides=[2, 2], pads=SAME),
    "pooling and stride 2 together": pooled(stride=2, kernel_shape=[2, 2], strides=[2, 2]),
    "max pooling needs a convolution after it": pooled_dense(),
    "a global average of more than 32x32": large_average(33),
    "a global average of more than 256 pixels after a depthwise": large_average(17, after_depthwise=True),
    "2 layers read its output, the chip runs one chain": branched(),
    "cannot be the first layer": dense_first(),
    "its Clip starts at -1.0, not at 0": negative_clip(),
}


@pytest.mark.parametrize("reason", LIMITS)
def test_limits(reason: str) -> None:
    net, output = LIMITS[reason]
    assert reason in reasons(net, "akida1", output)


def test_eight_bit_weights_only_in_the_input_layer() -> None:
    net, output = sequential()
    assert "weights have 4 bits at the most after the input layer, not 8" in reasons(net, "akida1", output, weight_bits=8)
