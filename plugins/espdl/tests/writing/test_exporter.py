from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import pytest
from espdl_proof import DATA, DIGITS, Net, prove, quantized
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quaint_espdl.writing.exporter import export

if TYPE_CHECKING:
    from collections.abc import Callable

    from quaint_espdl.file.elements import EspdlModel

both = pytest.mark.parametrize("target", ["esp32p4", "esp32s3"])
needs_data = pytest.mark.skipif(not (DATA / "models").exists(), reason="no models: set QUAINT_TEST_DATA")
MODELS = ["kws_ref_model", "resnet8_cifar10", "mobilenet_v2_100_224", "vww_96", "squeezenet1_1", "ad01"]


def operators(model: EspdlModel) -> list[str]:
    return [node.op_type for node in model.graph.nodes]


@both
@pytest.mark.parametrize("name", ["digits", "digits-residual"])
def test_digits_compute_what_was_simulated(name: str, target: str) -> None:
    samples = {"input": np.load(DIGITS / "calibration.npz")["input"][:64]}
    model = prove(quantized(ir.load(DIGITS / f"{name}.onnx"), target, samples))
    assert model.metadata["target"] == target
    assert model.producer_name == "quaint"
    assert operators(model).count("Conv") >= 3


@both
@needs_data
@pytest.mark.parametrize("name", MODELS)
def test_real_models_compute_what_was_simulated(name: str, target: str) -> None:
    source = ir.load(DATA / f"models/{name}.onnx")
    shape: Any = [2, *tuple(source.graph.inputs[0].shape or ())[1:]]
    samples = {source.graph.inputs[0].name or "": np.random.default_rng(0).normal(size=shape)}
    prove(quantized(source, target, samples))


@both
def test_activations_and_softmax_are_the_runtimes(target: str) -> None:
    net, random = Net(x=("N", 3, 6, 6)), np.random.default_rng(0)
    weight = random.normal(size=(20, 3, 3, 3)).astype(np.float32)
    x = net.add("Relu", net.add("Conv", net["x"], weight, np.ones(20, np.float32), pads=[1, 1, 1, 1]))
    x = net.add("Add", net.add("Sigmoid", x), x)
    x = net.add("Clip", x, np.float32(0), np.float32(1.5))
    x = net.add("Flatten", net.add("GlobalAveragePool", x))
    model = prove(quantized(net.model(net.add("Softmax", x)), target))
    names = operators(model)
    assert [name for name in names if name != "RequantizeLinear"] == [
        "Conv", "Sigmoid", "Add", "Clip", "GlobalAveragePool", "Reshape", "Softmax",
    ]  # fmt: skip
    conv = model.graph.nodes[0]
    assert conv.attributes["activation"] == "Relu"
    assert conv.attributes["pads"] == (1, 1, 1, 1)
    assert len(model.graph.initializers[0].exponents) == (20 if target == "esp32p4" else 1)
    assert model.graph.inputs[0].dims == (1, 6, 6, 3)
    assert model.graph.outputs[0].dtype.name == "FLOAT"


@both
def test_a_map_that_is_not_one_pixel_is_transposed_before_it_is_flattened(target: str) -> None:
    net, random = Net(x=("N", 3, 4, 5)), np.random.default_rng(0)
    x = net.add("Conv", net["x"], random.normal(size=(7, 3, 1, 1)).astype(np.float32))
    x = net.add("Gemm", net.add("Flatten", x), random.normal(size=(9, 140)).astype(np.float32), transB=1)
    model = prove(quantized(net.model(x), target))
    assert operators(model) == ["Conv", "Transpose", "Reshape", "Gemm"]
    assert model.graph.nodes[1].attributes["perm"] == (0, 3, 1, 2)


def test_an_input_read_by_convolution_and_sum_is_requantized_for_the_sum() -> None:
    net = Net(x=("N", 4, 5, 5))
    conv = net.add("Conv", net["x"], 40 * np.ones((4, 4, 1, 1), np.float32))
    model = prove(quantized(net.model(net.add("Add", conv, net["x"])), "esp32p4"))
    assert operators(model) == ["Conv", "RequantizeLinear", "Add"]


def test_three_files_are_written() -> None:
    samples = {"input": np.load(DIGITS / "calibration.npz")["input"][:8]}
    files = export(quantized(ir.load(DIGITS / "digits.onnx"), "esp32p4", samples), "digits")
    assert list(files) == ["digits.esp32p4.espdl", "digits.esp32p4.info", "digits.esp32p4.json"]
    assert json.loads(files["digits.esp32p4.json"])["target"] == "esp32p4"
    assert b"Conv" in files["digits.esp32p4.info"]


@both
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax"])
def test_a_softmax_over_channels_of_a_map_keeps_its_axis(op_type: str, bits: int, target: str) -> None:
    net = Net(x=("N", 3, 4, 5))
    x = net.add(op_type, net.add("Conv", net["x"], np.ones((6, 3, 1, 1), np.float32)), axis=1)
    model = prove(quantized(net.model(x), target, weight_bits=bits, activation_bits=bits))
    assert model.graph.nodes[-1].attributes["axis"] == 3


def test_what_comes_after_until_stays_with_the_host() -> None:
    net = Net(x=("N", 3))
    hidden = net.add("Relu", net.add("Gemm", net["x"], np.ones((3, 3), np.float32)))
    model = prove(quantized(net.model(net.add("Softmax", net.add("Sin", hidden))), "esp32p4", until="relu1"))
    assert operators(model) == ["Gemm"]
    assert [info.name for info in model.graph.outputs] == [hidden.name]


def test_a_model_without_its_float_source_has_tables_without_a_name() -> None:
    net = Net(x=("N", 3))
    result = quantized(net.model(net.add("Sigmoid", net["x"])), "esp32p4")
    assert operators(prove(result)) == ["Sigmoid"]
    assert operators(prove(replace(result, source=None))) == ["LUT"]


def array(draw: st.DrawFn, *shape: int) -> Any:
    return np.random.default_rng(draw(st.integers(0, 99))).normal(size=shape).astype(np.float32)


small, channels = st.integers(1, 3), st.integers(1, 35)


def conv(draw: st.DrawFn) -> ir.Model:
    rank, n, c = draw(st.integers(1, 2)), draw(channels), draw(channels)
    depthwise = draw(st.booleans())
    n = c if depthwise else n
    net = Net(x=("N", c, *[8] * rank))
    geometry = {
        name: draw(st.lists(st.integers(low, 2), min_size=size, max_size=size))
        for name, low, size in (("strides", 1, rank), ("dilations", 1, rank), ("pads", 0, 2 * rank))
    }
    weight = array(draw, n, 1 if depthwise else c, *draw(st.lists(small, min_size=rank, max_size=rank)))
    x = net.add("Conv", net["x"], weight, array(draw, n), group=c if depthwise else 1, **geometry)
    return net.model(net.add("Relu", x) if draw(st.booleans()) else x)


def conv_transpose(draw: st.DrawFn) -> ir.Model:
    rank, n, c = draw(st.integers(1, 2)), draw(channels), draw(channels)
    net = Net(x=("N", c, *[4] * rank))
    strides = draw(st.lists(small, min_size=rank, max_size=rank))
    geometry = {
        "strides": strides,
        "pads": draw(st.lists(st.integers(0, 1), min_size=2 * rank, max_size=2 * rank)),
        "output_padding": [draw(st.integers(0, step - 1)) for step in strides],
    }
    kernel = draw(st.lists(st.integers(2, 3), min_size=rank, max_size=rank))
    return net.model(net.add("ConvTranspose", net["x"], array(draw, c, n, *kernel), array(draw, n), **geometry))


def dense(draw: st.DrawFn) -> ir.Model:
    k, n = draw(channels), draw(channels)
    net = Net(x=("N", *draw(st.sampled_from([(), (3,), (2, 3)])), k))
    x = net.add("Add", net.add("MatMul", net["x"], array(draw, k, n)), array(draw, n))
    return net.model(x)


def pool(draw: st.DrawFn) -> ir.Model:
    rank = draw(st.integers(1, 2))
    net = Net(x=("N", draw(channels), *[7] * rank))
    op_type = draw(st.sampled_from(["MaxPool", "AveragePool", "GlobalAveragePool"]))
    if op_type == "GlobalAveragePool":
        return net.model(net.add(op_type, net["x"]))
    wish: dict[str, Any] = {
        "kernel_shape": draw(st.lists(st.integers(2, 3), min_size=rank, max_size=rank)),
        "strides": draw(st.lists(small, min_size=rank, max_size=rank)),
        "pads": draw(st.lists(st.integers(0, 1), min_size=2 * rank, max_size=2 * rank)),
    }
    if op_type == "AveragePool":
        return net.model(net.add(op_type, net["x"], count_include_pad=1, **wish))
    if draw(st.booleans()):
        wish |= {"ceil_mode": 1, "pads": [*wish["pads"][:rank], *[0] * rank]}
    return net.model(net.add(op_type, net["x"], **wish))


def pair(draw: st.DrawFn) -> ir.Model:
    c = draw(channels)
    net = Net(x=("N", c, 4, 5), y=("N", c, 4, 5), z=("N", c, 1, 1))
    x = net.add("Conv", net["x"], array(draw, c, c, 1, 1)) if draw(st.booleans()) else net["x"]
    z = net.add("Mul", net["y"], net["z"])
    axis = draw(st.integers(1, 3))
    x = net.add("Concat", x, z, axis=axis) if draw(st.booleans()) else net.add("Add", x, z)
    return net.model(x)


def movement(draw: st.DrawFn) -> ir.Model:
    net = Net(x=("N", 6, 4, 5))
    x = net.add("MaxPool", net["x"], kernel_shape=[2, 2]) if draw(st.booleans()) else net["x"]
    x = net.add("Transpose", x, perm=[0, *draw(st.permutations([1, 2, 3]))])
    x = net.add("Relu", x)
    x = net.add("Reshape", x, np.array(draw(st.sampled_from([[0, -1], [0, 2, -1], [0, 3, 2, -1]])), np.int64))
    return net.model(net.add("Neg", x))


def elementwise(draw: st.DrawFn) -> ir.Model:
    net = Net(x=("N", draw(channels), 3))
    op_type = draw(
        st.sampled_from(["Relu", "Clip", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Elu", "Softplus", "Swish"])
    )
    if op_type == "Clip":
        return net.model(net.add("Clip", net["x"], np.float32(-0.5), np.float32(draw(st.floats(0.125, 2)))))
    if op_type == "Swish":
        return net.model(net.add("Mul", net["x"], net.add("Sigmoid", net["x"])))
    return net.model(net.add(op_type, net["x"]))


@both
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("graph", [conv, conv_transpose, dense, pool, pair, movement, elementwise])
@given(data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_layer_computes_what_was_simulated(
    graph: Callable[[Any], ir.Model], bits: int, target: str, data: st.DataObject
) -> None:
    prove(quantized(graph(data.draw), target, weight_bits=bits, activation_bits=bits))
