"""Versions, operators and types: rows 6, 15, 24, 25, 27 and 29 of the table of bad input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from quaint.frontends import onnx_operators
from quaint.frontends.onnx import load

if TYPE_CHECKING:
    from collections.abc import Callable


def value(name: str, dtype: int = TensorProto.FLOAT, shape: list[int] | None = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def add(model: ModelProto, op: str, inputs: list[str], outputs: list[str], **attributes: object) -> None:
    model.graph.node.append(helper.make_node(op, inputs, outputs, f"{op.lower()}9", **attributes))


def branch(model: ModelProto, condition: str) -> None:
    def body(name: str) -> GraphProto:
        return helper.make_graph([helper.make_node("Relu", ["t2"], [name])], name, [], [value(name)])

    add(model, "If", [condition], ["z"], then_branch=body("then"), else_branch=body("otherwise"))


def data_dependent_if(model: ModelProto) -> None:
    add(model, "ReduceSum", ["x"], ["sum"], keepdims=0)
    add(model, "Cast", ["sum"], ["flag"], to=TensorProto.BOOL)
    branch(model, "flag")


def data_dependent_loop(model: ModelProto) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c1"]), helper.make_node("Relu", ["v"], ["v1"])],
        "body",
        [value("i", TensorProto.INT64, []), value("c", TensorProto.BOOL, []), value("v")],
        [value("c1", TensorProto.BOOL, []), value("v1")],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(3), "trips"))
    add(model, "Loop", ["trips", "", "t2"], ["z"], body=body)


def half(model: ModelProto) -> None:
    weights = numpy_helper.to_array(model.graph.initializer[0]).astype(np.float16)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w1"))


def own_layer(model: ModelProto) -> None:
    body = [helper.make_node("Relu", ["a"], ["b"])]
    model.functions.append(helper.make_function("quaint.any", "lookup", ["a"], ["b"], body, model.opset_import))
    add(model, "lookup", ["t2"], ["z"], domain="quaint.any")


BROKEN: dict[str, tuple[str, str, Callable[[ModelProto], object]]] = {
    "6 opset 99": ("QM110", "7 to 26", lambda m: setattr(m.opset_import[0], "version", 99)),
    "6 opset 6": ("QM110", "7 to 26", lambda m: setattr(m.opset_import[0], "version", 6)),
    "6 ir_version": ("QM110", "ir_version 99", lambda m: setattr(m, "ir_version", 99)),
    "15 activation": (
        "QM131",
        "'x'",
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 1 << 40),
    ),
    "24 domain": ("QM150", "'foo9' (my.custom::Foo)", lambda m: add(m, "Foo", ["t2"], ["z"], domain="my.custom")),
    "24 hint": ("QM150", "register a pattern plugin", lambda m: add(m, "Foo", ["t2"], ["z"], domain="my.custom")),
    "24 runtime's own": ("QM150", "'gelu9'", lambda m: add(m, "Gelu", ["t2"], ["z"], domain="com.microsoft")),
    "24 unknown": ("QM150", "'foo9'", lambda m: add(m, "Foo", ["t2"], ["z"])),
    "25 if": ("QM151", "'if9'", data_dependent_if),
    "25 loop": ("QM151", "'loop9'", data_dependent_loop),
    "25 sequence": ("QM152", "'sequenceconstruct9'", lambda m: add(m, "SequenceConstruct", ["t2"], ["z"])),
    "25 string input": (
        "QM152",
        "'words'",
        lambda m: m.graph.input.append(value("words", TensorProto.STRING, [1])),
    ),
    "25 sequence output": (
        "QM152",
        "'y'",
        lambda m: m.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, [1])),
    ),
    "25 strings inside": ("QM152", "'z'", lambda m: add(m, "Cast", ["t2"], ["z"], to=TensorProto.STRING)),
    "27 mixed types": ("QM160", "conv1", half),
    "27 shapes": ("QM160", "add9", lambda m: add(m, "Add", ["x", "w1"], ["z"])),
    "27 attribute": ("QM160", "kernel_shape", lambda m: add(m, "MaxPool", ["t2"], ["z"])),
    "29 quantized": ("QM170", "'dynamicquantizelinear9'", lambda m: add(m, "DynamicQuantizeLinear", ["x"], ["z"])),
    "29 quantized here": ("QM170", "quaint.any::lookup", own_layer),
}


@pytest.mark.parametrize("row", BROKEN)
def test_refused(row: str, model: ModelProto, refuses: Callable[[ModelProto, str, str], None]) -> None:
    code, culprit, change = BROKEN[row]
    change(model)
    refuses(model, code, culprit)


@pytest.mark.parametrize("condition", ["constant", "shape"])
def test_control_flow_that_is_known_without_data_is_left(condition: str, model: ModelProto) -> None:
    if condition == "constant":
        model.graph.initializer.append(helper.make_tensor("flag", TensorProto.BOOL, [], [True]))
    else:
        add(model, "Size", ["x"], ["size"])
        add(model, "Cast", ["size"], ["flag"], to=TensorProto.BOOL)
    branch(model, "flag")
    assert "If" in [n.op_type for n in load(model).graph]


def test_stale_annotations_do_not_matter(model: ModelProto) -> None:
    model.graph.value_info.append(value("t2", TensorProto.FLOAT, [1, 2, 3]))
    model.graph.output[0].CopyFrom(value("y", TensorProto.FLOAT, [7, 7, 7]))
    assert len(load(model).graph) == 5


def test_newest_versions_run_on_onnxruntime(model: ModelProto) -> None:
    model.opset_import[0].version = min(onnx_operators.MAX_OPSET, onnx.defs.onnx_opset_version())
    model.ir_version = min(onnx_operators.MAX_IR_VERSION, onnx.IR_VERSION)
    load(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.zeros((1, 3, 8, 8), np.float32)})
    assert y.shape == (1, 2)
