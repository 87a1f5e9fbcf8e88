"""Errors of weights, and channels that are dead or stand out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from quaint.pipeline import quantize
from quaint.report.weights import kernels, weight_errors

if TYPE_CHECKING:
    from quaint.quantized import Quantized
    from quaint.target import Target


def net(weight: np.ndarray[Any, Any]) -> ir.Model:
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", weight.shape[1], 4, 4]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", weight.shape[0], 4, 4]),
    ]
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv")
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], [numpy_helper.from_array(weight, "w")])
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


def test_digits(quantized: Quantized) -> None:
    found = {error.layer: error for error in weight_errors(quantized)}
    assert list(found) == ["conv1", "conv2", "depthwise3", "pointwise3", "dense"]
    for error in found.values():
        assert error.bits == 8
        assert error.noise is not None
        assert 0 < error.noise < 1e-3
        assert (error.dead, error.outliers) == ((), ())


def test_dead_channels_and_outliers(demo: Target) -> None:
    weight = np.random.default_rng(0).uniform(0.5, 1, (8, 4, 1, 1)).astype(np.float32)
    weight[2], weight[5] = 0, 100
    samples = np.random.default_rng(0).normal(size=(32, 4, 4, 4)).astype(np.float32)
    (error,) = weight_errors(quantize(net(weight), demo, samples))
    assert (error.dead, error.outliers) == ((2,), (5,))
    assert error.largest == 100
    assert error.smallest_channel == pytest.approx(min(weight[i].max() for i in (0, 1, 3, 4, 6, 7)))


def test_kernels(quantized: Quantized) -> None:
    assert quantized.source is not None
    shapes = {name: array.shape for name, array in kernels(quantized.source)}
    assert shapes["conv1"] == (16, 1, 3, 3)
    assert len(shapes) == 5
