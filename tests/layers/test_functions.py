"""Elementwise functions against onnxruntime, and where they have no value."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from quaint.floatmodel import FloatModel
from quaint.layers.functions import FUNCTIONS, apply
from quaint.layers.patterns import Table
from quaint.patterns import Block

X = np.linspace(-4, 4, 129)
#: Attributes that are not the defaults, and operands besides the input.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "Celu": [{"alpha": 0.5}],
    "Elu": [{}, {"alpha": 0.5}],
    "Gelu": [{}, {"approximate": "tanh"}],
    "HardSigmoid": [{}, {"alpha": 0.3, "beta": 0.4}],
    "LeakyRelu": [{}, {"alpha": 0.2}],
    "Selu": [{}, {"alpha": 1.5, "gamma": 0.9}],
    "ThresholdedRelu": [{}, {"alpha": 0.5}],
}
POSITIVE = {"Log", "Reciprocal", "Sqrt"}
CASES = [(name, attributes) for name in FUNCTIONS for attributes in VARIANTS.get(name, [{}])]


def block(op_type: str, **attributes: Any) -> Block:
    x = ir.val("x", ir.DataType.FLOAT, (None,))
    inputs = [x]
    if op_type == "PRelu":
        inputs.append(ir.val("slope", const_value=ir.tensor(np.array([0.3], np.float32), name="slope")))
    node = ir.node(op_type, inputs, attributes, name="node")
    node.outputs[0].name, node.outputs[0].type = "y", ir.TensorType(ir.DataType.FLOAT)
    return Block(Table(), (node,), {"x": x}, ("x",), ("y",))


def in_onnxruntime(made: Block, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    (node,) = made.nodes
    graph = ir.Graph([node.inputs[0]], node.outputs, nodes=[node], initializers=node.inputs[1:], opset_imports={"": 20})
    return FloatModel(ir.Model(graph, ir_version=10)).run({"x": x.astype(np.float32)})["y"]


@pytest.mark.parametrize(("op_type", "attributes"), CASES)
def test_a_function_is_what_onnxruntime_computes(op_type: str, attributes: dict[str, Any]) -> None:
    made = block(op_type, **attributes)
    x = X[X > 0] if op_type in POSITIVE else X
    np.testing.assert_allclose(apply(made, x), in_onnxruntime(made, x), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("op_type", FUNCTIONS)
def test_a_function_has_a_value_everywhere(op_type: str) -> None:
    made = apply(block(op_type), np.array([-1e4, -1.0, -0.0, 0.0, 1.0, 1e4]))
    assert not np.isnan(made).any()


def test_the_limit_from_the_right_stands_in() -> None:
    x = np.array([-1.0, -0.0, 0.0])
    np.testing.assert_array_equal(apply(block("Log"), x), [-np.inf] * 3)
    np.testing.assert_array_equal(apply(block("Sqrt"), x), [0, 0, 0])
    np.testing.assert_array_equal(apply(block("Reciprocal"), x), [-1, np.inf, np.inf])
