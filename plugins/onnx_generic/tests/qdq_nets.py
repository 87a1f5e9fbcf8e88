"""Nets for the tests, and plain onnxruntime on exported files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest

from quaint.plugins import registry
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from quaint.quantized import Quantized

Array = np.ndarray[Any, np.dtype[Any]]

ROOT = Path(__file__).parents[3]
DIGITS = ROOT / "examples/digits"
DATA = Path(os.environ.get("QUAINT_TEST_DATA", ROOT.parent / "shared/data"))
needs_data = pytest.mark.skipif(not (DATA / "models").exists(), reason="no models: set QUAINT_TEST_DATA")
SAME = [1, 1, 1, 1]


def exported(quantized: Quantized) -> bytes:
    """The QDQ file."""
    made: dict[str, bytes] = registry().get("quaint_exporters", "onnx-qdq")(quantized, "net")
    assert list(made) == ["net.qdq.onnx"]
    return made["net.qdq.onnx"]


def run_file(data: bytes, feeds: Mapping[str, Array], *, optimized: bool = True) -> dict[str, Array]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def steps(quantized: Quantized, name: str, got: Array, wanted: Array) -> Array:
    """By how many of its integers an output differs; of a host output, by how many millionths."""
    maker = next(layer for layer in quantized.integer.layers if name in layer.outputs)
    params = quantized.integer.tensors.get(maker.inputs[0])
    unit = 1e-6 if params is None or maker.op == "host" else float(params.scale)
    return np.asarray(np.rint((got.astype(np.float64) - wanted) / unit))


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


def elementwise(op: str, **attributes: Any) -> Callable[[], tuple[Builder, str]]:
    def make() -> tuple[Builder, str]:
        net = Builder(op)
        return net, net.op(op, net.conv(net.input(3, 6, 6), (3, 4), pads=SAME), **attributes)

    return make


def swish() -> tuple[Builder, str]:
    net = Builder("swish")
    x = net.conv(net.input(3, 6, 6), (3, 4), pads=SAME)
    return net, net.op("Mul", x, net.op("Sigmoid", x))


def gated() -> tuple[Builder, str]:
    net = Builder("gated")
    x = net.input(3, 6, 6)
    gate = net.op("Sigmoid", net.conv(x, (3, 4), (1, 1)))
    return net, net.op("Mul", net.op("Relu", net.conv(x, (3, 4), pads=SAME)), gate)


def shared() -> tuple[Builder, str]:
    """A tensor with two readers on two scales, and the input itself in a sum."""
    net = Builder("shared")
    x = net.input(4, 6, 6)
    y = net.op("Add", net.conv(x, (4, 4), pads=SAME), x)
    z = net.op("Concat", y, net.op("MaxPool", y, kernel_shape=[3, 3], pads=SAME), net.conv(y, (4, 4), (1, 1)), axis=1)
    return net, net.op("Add", z, net.op("Concat", y, y, y, axis=1))


def passed_on() -> tuple[Builder, str]:
    """Sums of tensors that keep the scale of others: pooled ones, moved ones, the input."""
    net = Builder("passed_on")
    x = net.input(4, 6, 6)
    y = net.op("Relu", net.conv(x, (4, 4), pads=SAME))
    pooled = net.op("MaxPool", y, kernel_shape=[3, 3], pads=SAME)
    total = net.op("Add", net.conv(y, (4, 4), (1, 1)), pooled)
    return net, net.op("Add", total, net.op("Transpose", x, perm=[0, 1, 3, 2]))


def clipped() -> tuple[Builder, str]:
    net = Builder("clipped")
    x = net.op("MaxPool", net.conv(net.input(3, 8, 8), (3, 4), pads=SAME), kernel_shape=[2, 2], strides=[2, 2])
    return net, net.conv(net.op("Clip", x, net.constant(-0.2), net.constant(0.3)), (4, 4), pads=SAME)


def averaged() -> tuple[Builder, str]:
    net = Builder("averaged")
    x = net.op("Relu", net.conv(net.input(3, 9, 9), (3, 4), pads=SAME))
    x = net.op("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=SAME, count_include_pad=1)
    return net, net.op("AveragePool", x, kernel_shape=[3, 3], pads=SAME)


def projected() -> tuple[Builder, str]:
    """Products over the last axis of a sequence, with a bias and without."""
    net = Builder("projected")
    x = net.op("Add", net.op("MatMul", net.input(5, 8), net.weights(8, 8, fan_in=8)), net.weights(8, fan_in=16))
    return net, net.op("MatMul", net.op("Relu", x), net.weights(8, 3, fan_in=8))


NETS: dict[str, Callable[[], tuple[Builder, str]]] = {
    "leaky_relu": elementwise("LeakyRelu", alpha=0.1),
    "hard_sigmoid": elementwise("HardSigmoid"),
    "tanh": elementwise("Tanh"),
    "elu": elementwise("Elu"),
    "swish": swish,
    "gated": gated,
    "shared": shared,
    "clipped": clipped,
    "passed_on": passed_on,
    "averaged": averaged,
    "projected": projected,
}
