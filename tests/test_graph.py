"""Helpers over onnx_ir."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quaint.graph import (
    GraphEditor,
    attribute,
    constant,
    dims,
    input_at,
    is_op,
    other_input,
    producer,
    rank,
    scalar,
    sole_consumer,
    static_shape,
)


@pytest.fixture
def model() -> ir.Model:
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 21]>
        main (float[N,4] x) => (float[N,4] y) <float[1] two = {2}> {
            [scale] a = Mul (x, two)  [act] b = LeakyRelu <alpha = 0.25> (a)
            [sum] y = Add (b, b)  [dead] d = Clip (a, , two) }""")
    return ir.from_proto(proto)


def test_reading(model: ir.Model) -> None:
    scale, act, total, dead = model.graph
    x, two = scale.inputs
    assert constant(two).tolist() == [2]
    assert scalar(two) == 2
    assert constant(x) is None
    assert scalar(None) is None
    assert (dims(x), static_shape(x), static_shape(two), rank(x)) == (("N", 4), None, (1,), 2)
    assert (dims(act.outputs[0]), rank(None)) == (None, None)
    assert attribute(act, "alpha") == 0.25
    assert attribute(act, "beta", 7) == 7
    assert is_op(act, "Relu", "LeakyRelu")
    assert not is_op(None, "Relu")
    assert producer(act.inputs[0]) is scale
    assert producer(act.inputs[0], "Add") is None
    assert sole_consumer(act.outputs[0]) is None, "read twice by one node"
    assert sole_consumer(scale.outputs[0]) is None, "read by two nodes"
    assert sole_consumer(total.outputs[0]) is None, "a graph output"
    assert (input_at(dead, 1), input_at(dead, 5)) == (None, None)
    assert other_input(scale, x) is two
    assert other_input(total, act.outputs[0]) is None


def test_inserting_and_replacing_keeps_names(model: ir.Model) -> None:
    editor = GraphEditor(model)
    total = model.graph[2]
    value = editor.insert("Relu", [total.inputs[0]], before=total, name="act", like=total.inputs[0])
    assert (value.name, value.producer().name) == ("act", "act_1")
    new = editor.retype(total, "Mul", [value, value])
    assert (new.name, new.outputs[0].name, new.outputs[0].is_graph_output()) == ("sum", "y", True)
    assert total.graph is None
    onnx.checker.check_model(ir.to_proto(model))


def test_erasing_takes_along_what_is_left_over(model: ir.Model) -> None:
    editor = GraphEditor(model)
    total = model.graph[2]
    editor.retype(total, "Relu", [model.graph.inputs[0]])
    editor.erase(next(node for node in model.graph if node.name == "dead"))
    assert [node.op_type for node in model.graph] == ["Relu"]


def test_constants_of_others_are_not_overwritten(model: ir.Model) -> None:
    editor = GraphEditor(model)
    scale, *_, dead = model.graph
    editor.set_constant(scale, 1, np.array([3], np.float32))
    assert (scalar(scale.inputs[1]), scalar(dead.inputs[2])) == (3, 2)
    name = scale.inputs[1].name
    editor.set_constant(scale, 1, np.array([4, 5, 6, 7], np.float32))
    assert (scale.inputs[1].name, dims(scale.inputs[1])) == (name, (4,))


def test_bypassing_a_graph_output(model: ir.Model) -> None:
    editor = GraphEditor(model)
    total = model.graph[2]
    assert editor.bypass(total, total.inputs[0])
    assert [value.name for value in model.graph.outputs] == ["y"]
    act = model.graph[1]
    assert act.outputs[0].name == "y"
    assert editor.bypass(act, model.graph.inputs[0])
    assert [node.op_type for node in model.graph if node.name == "act"] == ["Identity"]
    identity = next(node for node in model.graph if node.op_type == "Identity")
    assert not editor.bypass(identity, model.graph.inputs[0])


def test_names_are_unique_and_in_order(model: ir.Model) -> None:
    editor = GraphEditor(model)
    assert [editor.value_name("a"), editor.value_name("a"), editor.value_name("new"), editor.value_name(None)] == [
        "a_1",
        "a_2",
        "new",
        "value",
    ]
    assert editor.node_name("scale") == "scale_1"
