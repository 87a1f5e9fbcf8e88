from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from akida_nets import (
    DIGITS,
    SAME,
    chain,
    channel_last,
    dense,
    inner,
    needs_data,
    noise,
    ops,
    quantize,
    real_model,
    run_float,
    top1,
)
from onnx import TensorProto

from quaint import pipeline
from quaint.config import Config
from quaint.numerics import IntType
from quaint.testing.builder import Builder


def sequential() -> tuple[Builder, str]:
    net = Builder("sequential")
    x = chain(net, net.input(3, 8, 8), 3)
    x = net.op("MaxPool", net.op("Relu", net.conv(x, (8, 8), pads=SAME)), kernel_shape=[2, 2], strides=[2, 2])
    x = net.op("Relu", net.conv(x, (8, 8), pads=SAME, group=8))
    x = net.op("GlobalAveragePool", net.op("Relu", net.conv(x, (8, 16), (1, 1))))
    return net, dense(net, x, 16)


def residual() -> tuple[Builder, str]:
    net = Builder("residual")
    x = chain(net, net.input(3, 8, 8), 3)
    total = net.op("Relu", net.op("Add", x, net.conv(x, (8, 8), pads=SAME)))
    return net, dense(net, net.op("GlobalAveragePool", net.op("Relu", net.conv(total, (8, 8), (1, 1)))), 8)


def joined() -> tuple[Builder, str]:
    net = Builder("joined")
    x = chain(net, net.input(1, 8, 8), 1)
    both = net.op("Concat", net.op("Relu", net.conv(x, (8, 8), pads=SAME)), net.conv(x, (8, 4), (1, 1)), axis=1)
    return net, dense(net, net.op("GlobalAveragePool", net.op("Relu", net.conv(both, (12, 8), pads=SAME))), 8)


def decoder() -> tuple[Builder, str]:
    net = Builder("decoder")
    x = net.op("Relu", net.conv(net.input(3, 8, 8), (3, 8), pads=[0, 0, 1, 1], strides=[2, 2]))
    x = net.op("Relu", net.conv_transpose(x, (8, 8), (4, 4), strides=[2, 2], pads=SAME))
    return net, net.conv(x, (8, 2), pads=SAME)


def bounded() -> tuple[Builder, str]:
    net = Builder("bounded")
    low, high = net.constant(0.0), net.constant(0.5)
    x = net.op("Clip", net.conv(net.input(1, 9, 9), (1, 8), pads=SAME), low, high)
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=SAME)
    x = net.op("GlobalAveragePool", net.op("Clip", net.conv(x, (8, 8), pads=SAME), low, high))
    return net, dense(net, x, 8)


@pytest.mark.parametrize("make", [sequential, residual, joined, decoder, bounded])
def test_integers_are_near_the_float_model(make: Any) -> None:
    made, samples, truth = quantize(*_first(make()), output=make()[1])
    assert "host" not in ops(made)
    assert noise(made, samples, truth) < 0.005


def _first(net: tuple[Builder, str]) -> tuple[Builder, str]:
    return net[0], "akida2"


def test_scale_out_is_exact_in_the_next_layers_scale() -> None:
    """Weights stand for reals, less than 4 % coarser than they need be; M * 2**-S takes sums to the output's scale."""
    made, _, _ = quantize(sequential()[0], "akida2", sequential()[1], per_tensor_activations=True)
    tensors = made.integer.tensors
    for layer in made.integer.integer_layers[1:-1]:
        source, out = tensors[layer.inputs[0]], tensors[layer.outputs[0]]
        weight = tensors[f"{layer.name}/weight"]
        pixels = 16 if layer.attributes["gap"] else 1
        factor = np.ldexp(layer.constants["output_scale"].astype(float), -layer.constants["output_shift"].astype(int))
        np.testing.assert_allclose(weight.scale * source.scale, factor * out.scale * pixels, rtol=1e-15)
        peaks = np.abs(layer.constants["weight"].astype(int)).max(axis=(1, 2, 3))
        assert (peaks >= 127 * 0.96 - 1).all()
        assert layer.constants["bias"].dtype == np.int8


def test_the_border_is_the_zero_point() -> None:
    made, _, _ = quantize(sequential()[0], "akida2", sequential()[1])
    first = made.integer.integer_layers[0]
    entering = made.integer.tensors[first.inputs[0]]
    assert entering.dtype == IntType(8, signed=False)
    assert (entering.zero_point > 100).all()
    np.testing.assert_array_equal(first.constants["padding_value"], entering.zero_point)


def test_float_input_of_integers_is_taken_as_it_is() -> None:
    """Samples 0 ... 255 as float32: scale 1, offset 0."""
    samples = np.random.default_rng(0).integers(0, 256, (32, 28, 28, 3)).astype(np.float32)
    made = pipeline.quantize(channel_last((28, 28, 3)), "akida2", samples, Config(input_dtype="uint8", until="relu"))
    quantizer = made.integer.layers[0]
    np.testing.assert_array_equal(quantizer.constants["factor"], np.ones(3, np.float32))
    np.testing.assert_array_equal(quantizer.constants["zero_point"], np.zeros(3))
    assert ops(made)[:3] == ["input_quantizer", "transpose", "conv2d"]


def test_two_channels_enter_as_int8_with_fractional_bits() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, (32, 10, 12, 2)).astype(np.float32)
    model = channel_last((10, 12, 2))
    made = pipeline.quantize(model, "akida2", samples, Config(input_dtype="int8"))
    quantizer = made.integer.layers[0]
    np.testing.assert_array_equal(quantizer.constants["factor"], [128, 128])
    assert quantizer.attributes["low"] == -128
    assert quantizer.attributes["axis"] == 3
    assert ops(made) == ["input_quantizer", "transpose", "conv2d", "dense1d", "dequantizer"]
    assert noise(made, samples, run_float(model, samples)) < 0.002


@pytest.mark.parametrize(("dtype", "channels"), [(TensorProto.UINT8, 3), (TensorProto.UINT8, 1), (TensorProto.INT8, 2)])
def test_typed_inputs_need_no_quantizer(dtype: int, channels: int) -> None:
    numbers = {TensorProto.UINT8: np.uint8, TensorProto.INT8: np.int8}[dtype]
    samples = np.random.default_rng(0).integers(0, 100, (32, 9, 9, channels)).astype(numbers)
    model = channel_last((9, 9, channels), dtype)
    made = pipeline.quantize(model, "akida2", samples)
    layout, average = ["transpose" if channels > 1 else "reshape"], [] if channels == 2 else ["conv2d"]
    assert ops(made) == [*layout, "conv2d", *average, "dense1d", "dequantizer"]  # the input layer does not average
    assert made.integer.tensors["input"].dtype == IntType(8, signed=dtype == TensorProto.INT8)
    assert noise(made, samples, run_float(model, samples)) < 0.005


def test_four_bits() -> None:
    """4-bit activations are unsigned after a ReLU; tensors without one, and inputs of an Add, keep 8 bits."""
    made, samples, truth = quantize(residual()[0], "akida2", residual()[1], weight_bits=4, activation_bits=4)
    dtypes = {
        layer.op + str(i): made.integer.tensors[layer.outputs[0]].dtype
        for i, layer in enumerate(made.integer.integer_layers)
    }
    assert [str(dtype) for dtype in dtypes.values()] == [*("uint4", "int8", "int8", "int8", "uint4", "uint4", "int32")]
    assert noise(made, samples, truth) < 0.15


def test_the_last_sum_leaves_as_it_is() -> None:
    made, _, _ = quantize(sequential()[0], "akida2", sequential()[1])
    assert str(made.integer.tensors[made.integer.integer_outputs[0]].dtype) == "int32"
    made, _, _ = quantize(decoder()[0], "akida2", decoder()[1])
    assert str(made.integer.tensors[made.integer.integer_outputs[0]].dtype) == "int28"


def test_until_and_from() -> None:
    net, output = sequential()
    made, samples, truth = quantize(net, "akida2", output, until="relu1")
    assert ops(made) == ["input_quantizer", "conv2d", "conv2d", "dequantizer", "host"]
    assert noise(made, samples, truth) < 0.005
    made, samples, truth = quantize(net, "akida2", output, from_node="conv2")
    assert ops(made)[0] == "host"
    assert noise(made, samples, truth) < 0.005


def test_a_layer_that_the_chip_lacks_ends_the_chips_part() -> None:
    net = Builder("exponential")
    x = net.op("Exp", chain(net, net.input(3, 8, 8), 3))
    output = net.op("Softmax", dense(net, net.op("GlobalAveragePool", x), 8))
    made, samples, truth = quantize(net, "akida2", output)
    assert ops(made) == ["input_quantizer", "conv2d", "dequantizer", "host"]
    assert any("exp0" in warning for warning in made.warnings)
    assert noise(made, samples, truth) < 0.005


def test_softmax_runs_on_the_host_without_a_word() -> None:
    net, output = sequential()
    made, samples, truth = quantize(net, "akida2", net.op("Softmax", output))
    assert ops(made)[-2:] == ["dequantizer", "host"]
    assert not made.warnings
    assert noise(made, samples, truth) < 0.005


@pytest.mark.parametrize("name", ["digits", "digits-residual"])
def test_digits(name: str) -> None:
    samples, labels = np.load(DIGITS / "test.npz")["input"], np.load(DIGITS / "labels.npz")["labels"]
    made = pipeline.quantize(str(DIGITS / f"{name}.onnx"), "akida2", np.load(DIGITS / "calibration.npz")["input"])
    assert top1(made.run(samples)["logits"], labels) >= 0.99


@needs_data
def test_resnet8() -> None:
    path, calibration, samples, labels = real_model("resnet8_cifar10.onnx")
    made = pipeline.quantize(path, "akida2", calibration)
    (name,) = made.integer.outputs
    assert not made.refusals
    assert top1(made.run(samples)[name], labels) >= 0.888 - 0.01


@needs_data
def test_resnet20() -> None:
    """Its shortcuts are slices and pads, which convolutions do here; the first one begins at the input layer."""
    path, calibration, samples, labels = real_model("resnet20_cifar10_bn.onnx")
    made = pipeline.quantize(path, "akida2", calibration)
    (name,) = made.integer.outputs
    assert not made.refusals
    assert sum(warning.startswith("rewrote ") for warning in made.warnings) == 5
    assert top1(made.run(samples)[name], labels) >= top1(run_float(onnx.load(path), samples), labels) - 0.015


@needs_data
def test_keyword_spotting_is_refused_for_its_stem() -> None:
    path, calibration, _, _ = real_model("kws_ref_model.onnx")
    text = ""
    with pytest.raises(Exception, match="QT310") as caught:
        pipeline.quantize(path, "akida2", calibration)
    text = "\n".join(caught.value.details)
    assert "conv2d (Conv): kernel 10x4 is not square" in text


@needs_data
def test_the_whole_of_mobilenet_v1_is_on_the_chip() -> None:
    path, calibration, _, _ = real_model("mobilenet_v1_025_224_bn.onnx")
    made = pipeline.quantize(path, "akida2", calibration[:32])
    assert ops(made) == ["input_quantizer", *["conv2d"] * 27, "dense1d", "dequantizer", "host"]
    assert not made.refusals


@needs_data
def test_mobilenet_v1_is_within_three_points() -> None:
    """Biases are corrected for the weights as the chip has them, the scales of its input folded in."""
    path, calibration, samples, labels = real_model("mobilenet_v1_025_224_bn.onnx")
    made = pipeline.quantize(path, "akida2", calibration)
    (name,) = made.integer.outputs
    assert top1(made.run(samples)[name], labels) >= top1(run_float(onnx.load(path), samples), labels) - 0.03


def test_pooling_after_a_stride_has_a_layer_of_its_own() -> None:
    """The chip cannot do both in one: an identity convolution pools."""
    made, samples, truth = quantize(*_first(pooled_and_strided()), output=pooled_and_strided()[1])
    assert ops(made) == ["input_quantizer", "conv2d", "conv2d", "conv2d", "conv2d", "dequantizer"]
    assert noise(made, samples, truth) < 0.005


def pooled_and_strided() -> tuple[Builder, str]:
    net, x = inner(strides=[2, 2], pads=[0, 0, 1, 1])
    pool = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    return net, net.op("Relu", net.conv(pool, (8, 8), pads=SAME))
