from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from qdq_nets import DIGITS, NETS, exported, needs_data, real_model, run_file, steps, top1

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.integer import HOST
from quaint.quantized import Quantized
from quaint.testing import zoo
from quaint.testing.builder import Builder

#: Where onnxruntime's optimizer moves a conversion past Slice and Concat, and by how many steps it then differs.
MOVED = {"split": 2}
#: Models of the zoo that this target refuses, since nothing in float can follow them or what they need is not in QDQ.
REFUSED = frozenset({"conv_transpose_groups", "conv_transpose_depthwise", "reduce_prod"})


def differing(
    made: Quantized, data: bytes, feeds: dict[str, np.ndarray], *, optimized: bool = True, host: bool = True
) -> np.ndarray:
    """Steps by which onnxruntime's outputs differ from the integer model's, those of the host too or not."""
    wanted, got = made.run(feeds, simulator="reference"), run_file(data, feeds, optimized=optimized)
    assert list(got) == list(made.integer.outputs)
    floats = {name for layer in made.integer.layers if layer.op == HOST for name in layer.outputs}
    compared = [name for name in wanted if host or name not in floats]
    return np.concatenate([np.zeros(1), *(steps(made, name, got[name], wanted[name]).reshape(-1) for name in compared)])


@pytest.mark.parametrize("name", sorted(set(zoo.names()) - REFUSED))
def test_onnxruntime_gives_the_same_integers(name: str) -> None:
    """Samples twice as large, so that integers saturate; without optimizations products round in float instead.

    What the host computes of equal integers is equal but for the last digits; one step before it may be many after it.
    """
    given = zoo.load(name)
    made = pipeline.quantize(given.model, "onnx-qdq", given.samples)
    data = exported(made)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    feeds = {key: 2 * values for key, values in given.samples.items()}
    assert np.abs(differing(made, data, feeds, host=False)).max() <= MOVED.get(name, 0)
    wanted, got = made.run(feeds, simulator="reference"), run_file(data, feeds, optimized=name not in MOVED)
    for output, values in wanted.items():
        np.testing.assert_allclose(got[output], values, rtol=1e-5, atol=1e-5)
    assert np.abs(differing(made, data, feeds, optimized=False, host=False)).max() <= 1


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused(name: str) -> None:
    given = zoo.load(name)
    with pytest.raises(QuaintError, match="QT310"):
        pipeline.quantize(given.model, "onnx-qdq", given.samples)


@pytest.mark.parametrize("name", NETS)
def test_every_operator(name: str) -> None:
    net, output = NETS[name]()
    model, samples = net.build(output), net.samples(64)
    made = pipeline.quantize(model, "onnx-qdq", samples)
    assert not made.refusals
    data = exported(made)
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    assert not differing(made, data, {key: 2 * values for key, values in samples.items()}).any()


def test_a_typed_input_is_dequantized() -> None:
    random = np.random.default_rng(0)
    weight = numpy_helper.from_array(random.normal(size=(4, 3, 3, 3)).astype(np.float32), "w")
    nodes = [
        helper.make_node("Cast", ["input"], ["real"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Conv", ["real", "w"], ["output"], "conv"),
    ]
    graph = helper.make_graph(
        nodes,
        "typed",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, ["N", 3, 6, 6])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    samples = random.integers(0, 256, (64, 3, 6, 6)).astype(np.uint8)
    made = pipeline.quantize(model, "onnx-qdq", samples)
    data = exported(made)
    file = onnx.load_from_string(data)
    onnx.checker.check_model(file, full_check=True)
    assert "Cast" not in {node.op_type for node in file.graph.node}
    assert not differing(made, data, {"input": samples}).any()


def test_the_host_part_stays_float() -> None:
    net = Builder("host")
    x = net.op("Softplus", net.op("Relu", net.conv(net.input(3, 6, 6), (3, 4))))
    model, samples = net.build(net.op("Softsign", net.op("GlobalLpPool", x))), net.samples(32)
    made = pipeline.quantize(model, "onnx-qdq", samples)
    assert made.refusals
    assert np.abs(differing(made, exported(made), samples)).max() <= 1


def test_names_that_are_taken_already() -> None:
    """A model may have values of the names that pairs get."""
    net = Builder("taken")
    x = net.op("Relu", net.conv(net.input(3, 6, 6, name="relu0_scale"), (3, 4)))
    assert x == "relu0"
    made = pipeline.quantize(net.build(x), "onnx-qdq", net.samples(32))
    assert not differing(made, exported(made), net.samples(8)).any()


def test_float_weights_stay_behind() -> None:
    given = zoo.load("residual_cnn")
    graph = onnx.load_from_string(exported(pipeline.quantize(given.model, "onnx-qdq", given.samples))).graph
    read = {name for node in graph.node for name in node.input}
    assert {tensor.name for tensor in graph.initializer} <= read
    floats = [tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT]
    assert all(len(numpy_helper.to_array(tensor).shape) < 2 for tensor in floats)


def test_the_same_bytes_every_time() -> None:
    given = zoo.load("residual_cnn")
    first, second = (exported(pipeline.quantize(given.model, "onnx-qdq", given.samples)) for _ in range(2))
    assert first == second


def test_a_restored_model_has_no_float_graph() -> None:
    given = zoo.load("small_cnn")
    made = pipeline.quantize(given.model, "onnx-qdq", given.samples)
    with pytest.raises(QuaintError, match="QT351"):
        exported(Quantized(made.integer, made.target))


@pytest.mark.parametrize("name", ["digits", "digits-residual"])
def test_digits(name: str) -> None:
    samples, labels = np.load(DIGITS / "test.npz")["input"], np.load(DIGITS / "labels.npz")["labels"]
    made = pipeline.quantize(str(DIGITS / f"{name}.onnx"), "onnx-qdq", np.load(DIGITS / "calibration.npz")["input"])
    data = exported(made)
    assert not differing(made, data, {"input": samples}).any()
    assert top1(run_file(data, {"input": samples})["logits"], labels) >= 0.99


@needs_data
@pytest.mark.parametrize(
    ("name", "most_lost"), [("kws_ref_model.onnx", 0.01), ("resnet8_cifar10.onnx", 0.015), ("mnist_cntk.onnx", 0.01)]
)
def test_trained_models(name: str, most_lost: float) -> None:
    path, calibration, samples, labels = real_model(name)
    made = pipeline.quantize(path, "onnx-qdq", calibration)
    (entering,), (leaving,) = made.integer.inputs, made.integer.outputs
    truth = top1(run_file(onnx.load(path).SerializeToString(), {entering: samples})[leaving], labels)
    data = exported(made)
    assert not differing(made, data, {entering: samples}).any()
    assert top1(run_file(data, {entering: samples})[leaving], labels) >= truth - most_lost


@needs_data
def test_per_channel_weights_save_mobilenet() -> None:
    path, calibration, samples, labels = real_model("mobilenet_v2_100_224.onnx")
    made = pipeline.quantize(path, "onnx-qdq", calibration[:64], Config(batch_size=16))
    got = run_file(exported(made), {made.integer.inputs[0]: samples[:100]})[made.integer.outputs[0]]
    assert top1(got, labels[:100]) >= 0.85
