from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from akida_nets import (
    DIGITS,
    channel_last,
    dense,
    entrance,
    needs_data,
    noise,
    ops,
    quantize,
    real_model,
    run_float,
    separable,
    top1,
)
from onnx import TensorProto

from quaint import pipeline
from quaint.errors import QuaintError
from quaint.testing.builder import Builder


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
