from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from akida_nets import (
    DATA,
    DIGITS,
    SAME,
    channel_last,
    dense,
    entrance,
    needs_data,
    noise,
    ops,
    quantize,
    real_model,
    reasons,
    run_float,
    separable,
    top1,
)
from onnx import TensorProto

from quaint import pipeline
from quaint.config import Config
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


def averaged_before_the_last(*, flat: bool) -> tuple[Builder, str]:
    """What MobileNets end in: a global average, and a pointwise convolution of it."""
    net = Builder("averaged_before_the_last")
    x = net.op("Relu", net.conv(entrance(net), (8, 16), pads=SAME))
    x = net.conv(net.op("GlobalAveragePool", x), (16, 10), (1, 1))
    return net, net.op("Flatten", x) if flat else x


@pytest.mark.parametrize(
    "make",
    [
        sequential,
        flattened,
        averaged,
        partial(averaged_before_the_last, flat=True),
        partial(averaged_before_the_last, flat=False),
    ],
)
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


#: Models whose first layer alone fits, and reasons of some of the others.
MOBILE = {
    "vww_96.onnx": ("93%", {"depthwise_conv2d (Conv): a depthwise convolution needs a pointwise one right after it"}),
    "mobilenet_v1_025_224_bn.onnx": ("93%", {"conv_dw_1 (Conv): a depthwise convolution needs a pointwise one"}),
    "mobilenet_v2_100_224.onnx": (
        "96%",
        {
            "Conv_3 (Conv): a depthwise convolution needs a pointwise one right after it",
            "Conv_10 (Conv): has no ReLU, and is not the last layer: train with one",
            "Add_16 (Add): no layer takes the two tensors of this Add: train without it",
            "Conv_95 (Conv): two convolutions in a row without ReLU between: train with one",
        },
    ),
}


@needs_data
@pytest.mark.parametrize("name", MOBILE)
def test_mobilenets_are_refused_with_every_reason(name: str) -> None:
    """The chip's first layer would fit; to have it alone is a wish."""
    path = str(DATA / "models" / name)
    share, expected = MOBILE[name]
    with pytest.raises(QuaintError, match="QT310") as caught:
        pipeline.quantize(path, "akida1")
    assert f"would leave {share} of its multiply-accumulates to the host" in str(caught.value)
    assert {reason for reason in expected if any(line.startswith(reason) for line in caught.value.details)} == expected
    first = next(node for node in pipeline.load_model(path).graph if node.op_type in {"Relu", "Clip"})
    made = pipeline.quantize(path, "akida1", config=Config(until=first.name, num_samples=32))
    assert ops(made) == ["input_quantizer", "convolutional", "dequantizer", "host"]


def test_a_depthwise_convolution_may_become_a_full_one_where_that_fits() -> None:
    for channels, advice in ((8, "train it so, or as a full one with zeros between channels"), (512, "train it so")):
        net = Builder("block")
        x = net.op("Relu", net.conv(entrance(net, 1, 6, channels), (channels, channels), pads=SAME, group=channels))
        text = reasons(net, "akida1", net.op("Relu", net.conv(x, (channels, 4), (1, 1))))
        assert f"conv1 (Conv): a depthwise convolution needs a pointwise one right after it, {BETWEEN}: {advice}" in (
            text.splitlines()
        )


BETWEEN = "without activation between"
