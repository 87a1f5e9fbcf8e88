"""Small nets for the tests of both targets, quantized and run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    from quaint.quantized import Quantized

Array = np.ndarray[Any, np.dtype[Any]]

ROOT = Path(__file__).parents[3]
DIGITS = ROOT / "examples/digits"
DATA = Path(os.environ.get("QUAINT_TEST_DATA", ROOT.parent / "shared/data"))
needs_data = pytest.mark.skipif(not (DATA / "models").exists(), reason="no models: set QUAINT_TEST_DATA")
SAME = [1, 1, 1, 1]


def quantize(net: Builder, target: str, output: str, **wishes: Any) -> tuple[Quantized, Array, Array]:
    """The net for a target, its samples, and what the float model makes of them."""
    model = net.build(output)
    samples = net.samples(32)["input"]
    truth = run_float(model, samples)
    return pipeline.quantize(model, target, samples, Config(**wishes)), samples, truth


def run_float(model: onnx.ModelProto, samples: Array) -> Array:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: samples})[0])


def noise(quantized: Quantized, samples: Array, truth: Array) -> float:
    """Power of the error over the power of the signal; both simulators agree."""
    name = quantized.integer.outputs[0]
    result = quantized.run(samples, simulator="reference")[name]
    np.testing.assert_array_equal(quantized.run(samples)[name], result)
    return float(((result - truth) ** 2).sum() / (truth**2).sum())


def reasons(net: Builder, target: str, output: str, **wishes: Any) -> str:
    """All that the target refuses of a net or puts on the host, in one text."""
    config = pipeline.wishes(pipeline.find_target(target), Config(**wishes))
    model = pipeline.canonical(pipeline.load_model(net.build(output)), config)
    try:
        plan = pipeline.divide(model, pipeline.find_target(target), config)
    except QuaintError as error:
        return "\n".join([str(error), *error.details])
    return "\n".join(map(str, plan.refusals))


def ops(quantized: Quantized) -> list[str]:
    return [layer.op for layer in quantized.integer.layers]


def real_model(name: str) -> tuple[str, Array, Array, Array]:
    """A trained model's path, calibration samples, evaluation samples and their labels."""
    sys.path.insert(0, str(DATA))
    try:
        import load
    finally:
        sys.path.pop(0)
    path = DATA / "models" / name
    return str(path), load.samples(name, "calib")[0][:256], *load.samples(name, "eval")


def top1(values: Array, labels: Array) -> float:
    return float((values.reshape(len(values), -1).argmax(axis=1) == labels).mean())


def channel_last(shape: tuple[int, ...], dtype: int = TensorProto.FLOAT, filters: int = 8) -> onnx.ModelProto:
    """[N, H, W, C] through a convolution, ReLU, global average and dense layer; integers are cast."""
    random = np.random.default_rng(0)
    weights = {
        "w": random.normal(size=(filters, shape[-1], 3, 3)) / 4,
        "b": random.normal(size=filters),
        "w2": random.normal(size=(10, filters)),
        "b2": random.normal(size=10),
    }
    nodes = [
        helper.make_node(
            "Transpose", ["f" if dtype != TensorProto.FLOAT else "input"], ["t"], "layout", perm=[0, 3, 1, 2]
        ),
        helper.make_node("Conv", ["t", "w", "b"], ["c"], "conv", pads=SAME),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["g"], "average"),
        helper.make_node("Flatten", ["g"], ["l"], "flatten"),
        helper.make_node("Gemm", ["l", "w2", "b2"], ["output"], "dense", transB=1),
    ]
    if dtype != TensorProto.FLOAT:
        nodes.insert(0, helper.make_node("Cast", ["input"], ["f"], "cast", to=TensorProto.FLOAT))
    graph = helper.make_graph(
        nodes,
        "channel_last",
        [helper.make_tensor_value_info("input", dtype, ["N", *shape])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def chain(net: Builder, x: str, channels: int, **attributes: Any) -> str:
    """The input layer with a ReLU."""
    return net.op("Relu", net.conv(x, (channels, 8), pads=SAME, **attributes))


def dense(net: Builder, x: str, inputs: int) -> str:
    return net.gemm(net.op("Flatten", x), inputs, 10)


def inner(
    kernel: tuple[int, int] = (3, 3), channels: int = 8, size: int = 12, **attributes: Any
) -> tuple[Builder, str]:
    net = Builder("inner")
    x = net.op("Relu", net.conv(net.input(3, size, size), (3, channels), pads=SAME))
    return net, net.op("Relu", net.conv(x, (channels, 8), kernel, **attributes))


def entrance(net: Builder, channels: int = 3, size: int = 12, filters: int = 8) -> str:
    """The input layer with a ReLU."""
    return net.op("Relu", net.conv(net.input(channels, size, size), (channels, filters), pads=SAME))


def separable(net: Builder, x: str, channels: tuple[int, int], **attributes: Any) -> str:
    depthwise = net.conv(x, (channels[0], channels[0]), **{"pads": SAME, **attributes}, group=channels[0])
    return net.op("Relu", net.conv(depthwise, channels, (1, 1)))
