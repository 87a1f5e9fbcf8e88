"""Structure: rows 8 to 12, 16, 25 and 26 of the table of bad input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir
import pytest
from onnx import AttributeProto, ModelProto, TensorProto, helper

from quaint.errors import QuaintError, QuaintWarning
from quaint.frontends.onnx import load

if TYPE_CHECKING:
    from collections.abc import Callable


def cycle(model: ModelProto) -> None:
    model.graph.node[1].input[0] = "t9"
    model.graph.node.add(op_type="Relu", name="back", input=["t2"], output=["t9"])


def functions(model: ModelProto, calls: dict[str, list[str]], first: str) -> None:
    """Functions that call functions one after the other; what is not defined is Relu."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    for name, callees in calls.items():
        body = [
            helper.make_node(callee if callee in calls else "Relu", [f"v{i}"], [f"v{i + 1}"])
            for i, callee in enumerate(callees)
        ]
        for node in body:
            node.domain = "my" if node.op_type in calls else ""
        model.functions.append(helper.make_function("my", name, ["v0"], [f"v{len(callees)}"], body, opsets))
    model.opset_import.append(helper.make_opsetid("my", 1))
    model.graph.node[1].CopyFrom(helper.make_node(first, ["t1"], ["t2"], "call", domain="my"))


def borrowed_graph(model: ModelProto) -> None:
    node = model.graph.node.add(op_type="If", name="borrower", input=["t2"], output=["z"])
    node.attribute.add(name="then_branch", ref_attr_name="other", type=AttributeProto.GRAPH)


BROKEN: dict[str, tuple[str, str, Callable[[ModelProto], object]]] = {
    "8 cycle": ("QM120", "'back'", cycle),
    "8 recursive functions": ("QM120", "my::F", lambda m: functions(m, {"F": ["G"], "G": ["F"]}, "F")),
    "9 input": ("QM121", "'fc'", lambda m: m.graph.node[4].input.__setitem__(0, "ghost")),
    "9 output": ("QM121", "'ghost'", lambda m: setattr(m.graph.output[0], "name", "ghost")),
    "10 input missing": ("QM122", "'x'", lambda m: m.graph.ClearField("input")),
    "10 output missing": ("QM122", "output", lambda m: m.graph.ClearField("output")),
    "16 input": (
        "QM132",
        "'x'",
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", -1),
    ),
    "25 graph of another": ("QM160", "'borrower'", borrowed_graph),
    "26 functions": ("QM153", "nodes", lambda m: functions(m, {f"F{i}": [f"F{i + 1}"] * 2 for i in range(40)}, "F0")),
}


@pytest.mark.parametrize("row", BROKEN)
def test_refused(row: str, model: ModelProto, refuses: Callable[[ModelProto, str, str], None]) -> None:
    code, culprit, change = BROKEN[row]
    change(model)
    refuses(model, code, culprit)


def test_cycle_is_printed_whole(model: ModelProto) -> None:
    cycle(model)
    for source in (model, ir.from_proto(model)):
        with pytest.raises(
            QuaintError, match=r"QM120.*: node '(back|relu1)' \(Relu\) -> node .* -> node '\1' \(Relu\)"
        ):
            load(source)


def test_unsorted_graph_is_sorted(model: ModelProto) -> None:
    backwards = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(backwards)
    for source in (model, ir.from_proto(model)):
        assert [n.name for n in load(source).graph] == ["conv1", "relu1", "pool", "flat", "fc"]


def test_repeated_names_are_numbered_with_a_warning(model: ModelProto) -> None:
    for node in model.graph.node[:3]:
        node.name = "same"
    with pytest.warns(QuaintWarning, match="2 nodes.*'same' is now 'same_1', 'same' is now 'same_2'"):
        loaded = load(model)
    assert [n.name for n in loaded.graph] == ["same", "same_1", "same_2", "flat", "fc"]
    assert [n.metadata_props.get("quaint.original_name") for n in loaded.graph][:3] == [None, "same", "same"]


def test_unnamed_nodes_get_names(model: ModelProto) -> None:
    for node in model.graph.node:
        node.name = ""
    model.graph.node[4].name = "Conv_0"
    assert [n.name for n in load(model).graph] == ["Conv_0_", "Relu_1", "GlobalAveragePool_2", "Flatten_3", "Conv_0"]


def test_functions_are_inlined(model: ModelProto) -> None:
    functions(model, {"Outer": ["Inner", "Relu"], "Inner": ["Relu", "Relu"]}, "Outer")
    loaded = load(model)
    assert [n.op_type for n in loaded.graph] == ["Conv", "Relu", "Relu", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]
    assert len({n.name for n in loaded.graph}) == 7
    assert not loaded.functions


def test_long_chains_need_no_recursion(model: ModelProto) -> None:
    del model.graph.node[2:]
    for i in range(3000):
        model.graph.node.add(op_type="Relu", name=f"r{i}", input=[f"t{i + 2}"], output=[f"t{i + 3}"])
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("t3002", TensorProto.FLOAT, None))
    assert len(load(model).graph) == 3002
