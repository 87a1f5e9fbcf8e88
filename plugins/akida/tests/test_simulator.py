"""BrainChip's package computes the integers that our kernels do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import akida_random
import numpy as np
import pytest
from akida_layers import ALL
from akida_nets import DIGITS, needs_data, real_model
from akida_vendor import needs_runtime, without_runtime  # noqa: F401 - a fixture

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.numerics import IntType, QuantParams
from quaint.simulators.reference import Reference
from quaint.testing.builder import Builder
from quaint_akida.simulator import AkidaRuntime

Array = np.ndarray[Any, np.dtype[Any]]

#: Random layers of each kind: more than 200 of each generation.
LAYERS1, LAYERS2 = 60, 30


def assert_equal(net: akida_random.Net) -> None:
    """Every tensor, layer by layer, and the output of the whole."""
    model, feeds = net.model(), net.feeds()
    tensors = [layer.outputs[0] for layer in model.layers]
    wanted = Reference(model, ALL).run(feeds, tensors)
    vendor = AkidaRuntime(model, ALL)
    for found in (vendor.run(feeds, tensors), vendor.run(feeds)):
        for name, values in found.items():
            assert values.dtype == wanted[name].dtype
            np.testing.assert_array_equal(values, wanted[name], err_msg=str(model.layers[-1].attributes))


@needs_runtime
@pytest.mark.parametrize("name", akida_random.AKIDA1)
def test_layers_of_akida_1(name: str) -> None:
    for seed in range(LAYERS1):
        assert_equal(akida_random.AKIDA1[name](np.random.default_rng(seed)))


@needs_runtime
@pytest.mark.parametrize("name", akida_random.AKIDA2)
def test_layers_of_akida_2(name: str) -> None:
    for seed in range(LAYERS2):
        assert_equal(akida_random.AKIDA2[name](np.random.default_rng(seed)))


def assert_model_equal(path: str, target: str, calibration: Array, samples: Array, **wishes: Any) -> None:
    quantized = pipeline.quantize(path, target, calibration, Config(**wishes))
    tensors = tuple(name for layer in quantized.integer.integer_layers for name in layer.outputs)
    for outputs in (tensors, None):
        ours = quantized.run(samples, outputs=outputs)
        vendor = quantized.run(samples, outputs=outputs, simulator="akida-runtime")
        assert list(ours) == list(vendor)
        for name, values in ours.items():
            np.testing.assert_array_equal(vendor[name], values, err_msg=name)


@needs_runtime
@pytest.mark.parametrize("target", ["akida1", "akida2"])
@pytest.mark.parametrize("activation_bits", [4, None])
def test_digits(target: str, activation_bits: int | None) -> None:
    calibration, test = (np.load(DIGITS / f"{name}.npz")["input"] for name in ("calibration", "test"))
    narrow = {"activation_bits": 4, "weight_bits": 4} if activation_bits and target == "akida1" else {}
    assert_model_equal(str(DIGITS / "digits.onnx"), target, calibration[:64], test[:100], **narrow)


@needs_runtime
@needs_data
@pytest.mark.parametrize("name", ["resnet8_cifar10.onnx", "mobilenet_v1_025_224_bn.onnx"])
def test_real_models(name: str) -> None:
    path, calibration, samples, _ = real_model(name)
    assert_model_equal(path, "akida2", calibration[:32], samples[:4])


def assert_stream_equal(net: Builder, output: str, **wishes: Any) -> None:
    samples = net.samples(32)["input"]
    quantized = pipeline.quantize(net.build(output), "akida2", samples, Config(**wishes))
    tensors = tuple(name for layer in quantized.integer.integer_layers for name in layer.outputs)
    ours, vendor = (quantized.run(samples[:4], outputs=tensors, simulator=s) for s in ("reference", "akida-runtime"))
    for name in tensors:
        np.testing.assert_array_equal(vendor[name], ours[name], err_msg=name)


@needs_runtime
def test_streams_of_images() -> None:
    """Every sample begins with empty buffers."""
    net = Builder("stream")
    x = net.op("Relu", net.conv(net.input(3, 8, 10, 10), (3, 8), (1, 3, 3), pads=[0, 1, 1] * 2))
    x = net.op("Relu", net.conv(x, (8, 8), (4, 1, 1), pads=[3, 0, 0, 0, 0, 0], group=8))
    x = net.op("HardSwish", net.conv(x, (8, 8), (1, 3, 3), pads=[0, 1, 1] * 2, strides=[1, 1, 1]))
    assert_stream_equal(net, net.conv(x, (8, 8), (2, 1, 1), pads=[1, 0, 0, 0, 0, 0]))


@needs_runtime
def test_streams_of_vectors() -> None:
    net = Builder("series")
    x = net.op("Relu", net.conv(net.input(6, 16), (6, 8), (1,)))
    x = net.op("Relu", net.conv(x, (8, 8), (5,), pads=[4, 0]))
    assert_stream_equal(net, net.conv(x, (8, 4), (1,)), input_dtype="int8")


@needs_runtime
def test_other_chips_models_are_refused() -> None:
    model = akida_random.conv2d(np.random.default_rng(0)).model()
    other = replace(model, layers=(replace(model.layers[0], op="conv"),))
    with pytest.raises(QuaintError, match="there is no such layer"):
        AkidaRuntime(other, ALL)


@needs_runtime
def test_parts_of_a_model_run() -> None:
    """From any tensor that alone decides another one; what needs two is refused."""
    net = akida_random.joined(np.random.default_rng(0), "concatenate")
    model, feeds = net.model(), net.feeds()
    vendor, truth = AkidaRuntime(model, ALL), Reference(model, ALL).run(feeds, ["y0", "y1", "y2"])
    np.testing.assert_array_equal(vendor.run(feeds, ["y1"])["y1"], truth["y1"])
    with pytest.raises(QuaintError, match="no single tensor decides 'y2'") as error:
        vendor.run({name: truth[name] for name in ("y0", "y1")}, ["y2"])
    assert error.value.code == "QT352"


@needs_runtime
def test_integers_that_cannot_enter_are_refused() -> None:
    net = akida_random.conv2d(np.random.default_rng(0))
    net.entering = IntType(6, signed=False)
    net.tensors["x"] = QuantParams(1, net.entering)
    with pytest.raises(QuaintError, match="uint6 cannot enter"):
        AkidaRuntime(net.model(), ALL).run(net.feeds())


def test_absent_package(without_runtime: None) -> None:  # noqa: ARG001, F811
    model = akida_random.conv2d(np.random.default_rng(0)).model()
    with pytest.raises(QuaintError, match=r'pip install "quaint-akida\[runtime\]"') as error:
        AkidaRuntime(model, ALL)
    assert error.value.code == "QP530"
