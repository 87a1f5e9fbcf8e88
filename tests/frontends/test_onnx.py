"""One broken file per row of the table of bad model files, made on the spot."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from quaint.errors import QuaintError, QuaintWarning
from quaint.frontends import onnx_operators
from quaint.frontends.onnx import Limits, load, validate

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(os.environ.get("QUAINT_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
SHARED = sorted([*DATA.glob("models/*.onnx"), *DATA.glob("corpus/*.onnx")])


def tensor(name: str, *shape: int) -> TensorProto:
    values = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    return numpy_helper.from_array(values, name)


def small(opset: int = 17) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["t1"], "conv1"),
        helper.make_node("Relu", ["t1"], ["t2"], "relu1"),
        helper.make_node("GlobalAveragePool", ["t2"], ["t3"], "pool"),
        helper.make_node("Flatten", ["t3"], ["t4"], "flat"),
        helper.make_node("Gemm", ["t4", "w2"], ["y"], "fc"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [tensor("w1", 4, 3, 3, 3), tensor("b1", 4), tensor("w2", 4, 2)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def edit(change: Callable[[onnx.ModelProto], object]) -> Callable[[Path], Path]:
    """A maker of a file that holds the small model after ``change``."""

    def make(folder: Path) -> Path:
        model = small()
        change(model)
        return write(folder, model.SerializeToString())

    return make


def write(folder: Path, data: bytes, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, b"{}")
    return buffer.getvalue()


def node(
    model: onnx.ModelProto, op: str, inputs: list[str], outputs: list[str], name: str = "", **kwargs: object
) -> None:
    model.graph.node.append(helper.make_node(op, inputs, outputs, name, **kwargs))


def constant(model: onnx.ModelProto, name: str) -> TensorProto:
    return next(t for t in model.graph.initializer if t.name == name)


def set_value(name: str, value: float, index: int = 5) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        weights = constant(model, name)
        values = numpy_helper.to_array(weights).copy()
        values.flat[index] = value
        weights.CopyFrom(numpy_helper.from_array(values, name))

    return change


def set_dims(*dims: int) -> Callable[[onnx.ModelProto], None]:
    return lambda model: constant(model, "w1").ClearField("dims") or constant(model, "w1").dims.extend(dims)


def cycle(model: onnx.ModelProto) -> None:
    model.graph.node[1].input[0] = "t9"
    node(model, "Relu", ["t2"], ["t9"], "back")


def branches(model: onnx.ModelProto, condition: str) -> None:
    def branch(name: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node("Relu", ["t2"], [name])], name, [], [out])

    model.graph.node[2].input[0] = "z"
    node(model, "If", [condition], ["z"], "branch", then_branch=branch("then"), else_branch=branch("otherwise"))


def data_dependent_if(model: onnx.ModelProto) -> None:
    node(model, "ReduceSum", ["x"], ["sum"], "sum", keepdims=0)
    node(model, "Cast", ["sum"], ["flag"], "flag", to=TensorProto.BOOL)
    branches(model, "flag")


def data_dependent_loop(model: onnx.ModelProto) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c1"]), helper.make_node("Relu", ["v"], ["v1"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("c1", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v1", TensorProto.FLOAT, None),
        ],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(3), "trips"))
    node(model, "Loop", ["trips", "", "t2"], ["z"], "loop", body=graph)


def nest(model: onnx.ModelProto, depth: int) -> None:
    inner = helper.make_graph([helper.make_node("Relu", ["t2"], ["d"])], "g", [], [])
    inner.output.append(helper.make_tensor_value_info("d", TensorProto.FLOAT, None))
    for level in range(depth - 1):
        name = f"d{level}"
        outer = helper.make_graph([], "g", [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)])
        outer.node.append(helper.make_node("If", ["flag"], [name], f"if{level}", then_branch=inner, else_branch=inner))
        outer.node[0].attribute[1].g.CopyFrom(helper.make_graph([], "g", [], []))
        inner = outer
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "flag"))  # noqa: FBT003
    node(model, "If", ["flag"], ["z"], "outermost", then_branch=inner, else_branch=inner)


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().values.name = "thin"


def external(location: str, **entries: object) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        weights = constant(model, "w1")
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            entry = weights.external_data.add()
            entry.key, entry.value = key, str(value)

    return change


def beside(location: str, size: int = 432, **entries: object) -> Callable[[Path], Path]:
    """The small model with w1 in a file of ``size`` bytes beside it."""

    def make(folder: Path) -> Path:
        write(folder, b"\0" * size, "w.bin")
        return edit(external(location, **entries))(folder)

    return make


def linked(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        outside = folder / "outside"
        outside.mkdir()
        secret = write(outside, b"\0" * 432, "secret.bin")
        inside = folder / "model"
        inside.mkdir()
        if kind == "parent":
            (inside / "data").symlink_to(outside)
            return edit(external("data/secret.bin"))(inside)
        (inside / "w.bin").symlink_to(secret) if kind == "symlink" else os.link(secret, inside / "w.bin")
        return edit(external("w.bin"))(inside)

    return make


def external_in_attribute(folder: Path) -> Path:
    model = small()
    external("../secret.bin")(model)
    weights = constant(model, "w1")
    constant_node = helper.make_node("Constant", [], ["w1"], "hidden", value=weights)
    model.graph.initializer.remove(weights)
    model.graph.node.insert(0, constant_node)
    return write(folder, model.SerializeToString())


def external_in_function(folder: Path) -> Path:
    model = small()
    external("../secret.bin")(model)
    weights = constant(model, "w1")
    body = [helper.make_node("Constant", [], ["w"], value=weights), helper.make_node("Add", ["a", "w"], ["b"])]
    model.functions.append(helper.make_function("my", "Hidden", ["a"], ["b"], body, [helper.make_opsetid("", 17)]))
    weights.CopyFrom(tensor("w1", 4, 3, 3, 3))
    return write(folder, model.SerializeToString())


def recursive(model: onnx.ModelProto) -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    for name, callee in (("F", "G"), ("G", "F")):
        body = [helper.make_node(callee, ["a"], ["b"], domain="my")]
        model.functions.append(helper.make_function("my", name, ["a"], ["b"], body, opsets))
    model.opset_import.append(helper.make_opsetid("my", 1))
    node(model, "F", ["t2"], ["z"], "call", domain="my")


def billion_laughs(model: onnx.ModelProto) -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    for level in range(40):
        callee, domain = (f"F{level - 1}", "my") if level else ("Relu", "")
        body = [helper.make_node(callee, [a], [b], domain=domain) for a, b in (("a", "b"), ("b", "c"))]
        model.functions.append(helper.make_function("my", f"F{level}", ["a"], ["c"], body, opsets))
    model.opset_import.append(helper.make_opsetid("my", 1))
    node(model, "F39", ["t2"], ["z"], "call", domain="my")


def float16_weight(model: onnx.ModelProto) -> None:
    weights = constant(model, "w1")
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights).astype(np.float16), "w1"))


def quantize(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "scale"))
    node(model, "QuantizeLinear", ["t2", "scale"], ["q"], "quantize1")


def hidden_nan(model: onnx.ModelProto) -> None:
    set_value("w1", np.nan)(model)
    weights = constant(model, "w1")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w1"], "c", value=weights))
    model.graph.initializer.remove(weights)


BROKEN: dict[str, tuple[str, str, Callable[[Path], Path]]] = {
    "1 missing": (
        "QM101",
        "model.onnx",
        lambda d: write(d, b"x", "model.onnx").rename(d / "modell.onnx").parent / "model.onnx",
    ),
    "1 missing folder": ("QM101", "nowhere", lambda d: d / "nowhere" / "model.onnx"),
    "2 empty": ("QM102", "model.onnx", lambda d: write(d, b"")),
    "3 random": ("QM103", "no known format", lambda d: write(d, np.random.default_rng(0).bytes(999))),
    "3 zip": ("QM103", "a zip archive", lambda d: write(d, archive("a.onnx"))),
    "3 html": ("QM103", "a web page", lambda d: write(d, b"\n<!DOCTYPE html><html></html>")),
    "3 lfs": (
        "QM103",
        "git lfs pull",
        lambda d: write(d, b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"),
    ),
    "3 pickle": ("QM103", "pickle", lambda d: write(d, pickle.dumps({"w": 1.0}))),
    "3 checkpoint": ("QM103", "PyTorch", lambda d: write(d, archive("archive/data.pkl", "archive/version"))),
    "3 keras": ("QM103", ".keras", lambda d: write(d, archive("config.json", "model.weights.h5"))),
    "3 hdf5": ("QM103", "HDF5", lambda d: write(d, b"\x89HDF\r\n\x1a\n" + bytes(99))),
    "3 folder": ("QM103", "a folder", lambda d: d),
    "4 truncated": ("QM104", "expected", lambda d: write(d, small().SerializeToString()[:-20])),
    "5 text": ("QM103", "text", lambda d: write(d, b"ir_version: 8\n")),
    "5 json": ("QM103", "JSON", lambda d: write(d, b'{"irVersion": 8}')),
    "6 opset 99": ("QM110", "7 to 26", edit(lambda m: setattr(m.opset_import[0], "version", 99))),
    "6 opset 6": ("QM110", "7 to 26", edit(lambda m: setattr(m.opset_import[0], "version", 6))),
    "6 ir_version": ("QM110", "ir_version 99", edit(lambda m: setattr(m, "ir_version", 99))),
    "7 opset": ("QM111", "opset", edit(lambda m: m.ClearField("opset_import"))),
    "7 default opset": ("QM111", "opset", edit(lambda m: setattr(m.opset_import[0], "domain", "my"))),
    "7 ir_version": ("QM111", "ir_version", edit(lambda m: m.ClearField("ir_version"))),
    "8 cycle": ("QM120", "back", edit(cycle)),
    "8 recursive functions": ("QM120", "my::F", edit(recursive)),
    "9 dangling input": ("QM121", "fc", edit(lambda m: m.graph.node[4].input.__setitem__(0, "ghost"))),
    "9 dangling output": ("QM121", "ghost", edit(lambda m: setattr(m.graph.output[0], "name", "ghost"))),
    "10 input missing": ("QM122", "'x'", edit(lambda m: m.graph.ClearField("input"))),
    "10 output missing": ("QM122", "output", edit(lambda m: m.graph.ClearField("output"))),
    "13 two producers": ("QM123", "'t1'", edit(lambda m: node(m, "Relu", ["x"], ["t1"], "again"))),
    "13 produced initializer": ("QM123", "'w1'", edit(lambda m: node(m, "Relu", ["x"], ["w1"], "again"))),
    "13 initializer twice": ("QM123", "'w1'", edit(lambda m: m.graph.initializer.append(tensor("w1", 1)))),
    "13 input twice": ("QM123", "'x'", edit(lambda m: m.graph.input.append(m.graph.input[0]))),
    "14 dims": ("QM130", "w1", edit(set_dims(4, 3, 3, 300))),
    "14 no data": ("QM130", "w1", edit(lambda m: constant(m, "w1").ClearField("raw_data"))),
    "15 huge": ("QM131", "w1", edit(set_dims(1 << 40))),
    "15 huge activation": (
        "QM131",
        "'x'",
        edit(lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 1 << 40)),
    ),
    "16 negative": ("QM132", "w1", edit(set_dims(4, -3, 3, 3))),
    "16 zero": ("QM132", "w1", edit(set_dims(4, 0, 3, 3))),
    "16 input": (
        "QM132",
        "'x'",
        edit(lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", -1)),
    ),
    "17 overflow": ("QM131", "w1", edit(set_dims(1 << 33, 1 << 33))),
    "18 outside": ("QM140", "../secret.bin", edit(external("../secret.bin"))),
    "18 outside, hidden": ("QM140", "w1", edit(external("a/../../secret.bin"))),
    "18 outside, other system": ("QM140", "w1", edit(external("..\\secret.bin"))),
    "18 in an attribute": ("QM140", "hidden", external_in_attribute),
    "18 in a function": ("QM140", "secret.bin", external_in_function),
    "19 absolute": ("QM140", "/etc/passwd", edit(external("/etc/passwd"))),
    "19 absolute, other system": ("QM140", "w1", edit(external("C:\\secret.bin"))),
    "19 zero byte": ("QM140", "w1", edit(external("w\0.bin"))),
    "20 symlink": ("QM141", "w.bin", linked("symlink")),
    "20 hardlink": ("QM141", "w.bin", linked("hardlink")),
    "20 symlinked parent": ("QM141", "data", linked("parent")),
    "21 missing": ("QM142", "w.bin", edit(external("w.bin"))),
    "21 folder": ("QM142", "w1", edit(external("."))),
    "21 short": ("QM143", "w1", beside("w.bin", 400)),
    "21 offset": ("QM143", "w1", beside("w.bin", offset=1 << 50)),
    "21 negative offset": ("QM144", "'-4'", beside("w.bin", offset=-4)),
    "21 negative length": ("QM144", "'-1'", beside("w.bin", length=-1)),
    "21 length": ("QM130", "w1", beside("w.bin", 999, length=999)),
    "21 key": ("QM145", "shell", beside("w.bin", shell="rm")),
    "21 no location": ("QM145", "w1", beside("")),
    "24 domain": ("QM150", "my.custom::Foo", edit(lambda m: node(m, "Foo", ["t2"], ["z"], "foo1", domain="my.custom"))),
    "24 vendor domain": (
        "QM150",
        "gelu",
        edit(lambda m: node(m, "Gelu", ["t2"], ["z"], "gelu", domain="com.microsoft")),
    ),
    "24 no operator": ("QM150", "foo1", edit(lambda m: node(m, "Foo", ["t2"], ["z"], "foo1"))),
    "25 if": ("QM151", "branch", edit(data_dependent_if)),
    "25 loop": ("QM151", "loop", edit(data_dependent_loop)),
    "25 sequence": ("QM152", "seq1", edit(lambda m: node(m, "SequenceConstruct", ["t2"], ["z"], "seq1"))),
    "25 strings": (
        "QM152",
        "words",
        edit(lambda m: m.graph.initializer.append(helper.make_tensor("words", TensorProto.STRING, [1], [b"a"]))),
    ),
    "25 sparse": ("QM152", "thin", edit(sparse)),
    "26 depth": ("QM153", "nested", edit(lambda m: nest(m, 60))),
    "26 functions": ("QM153", "nodes", edit(billion_laughs)),
    "27 mixed types": ("QM160", "conv1", edit(float16_weight)),
    "27 shapes": (
        "QM160",
        "conv1",
        edit(lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 5)),
    ),
    "27 dtype": ("QM160", "w1", edit(lambda m: setattr(constant(m, "w1"), "data_type", 77))),
    "29 quantized": ("QM170", "quantize1", edit(quantize)),
    "32 NaN": ("QM180", "'w1': 1 of 108 values are NaN, the first at [0, 0, 1, 2]", edit(set_value("w1", np.nan))),
    "32 NaN in Constant": ("QM180", "'w1': 1 of 108", edit(hidden_nan)),
    "33 Inf": ("QM181", "'w2': 1 of 8 values are infinite, the first at [2, 1]", edit(set_value("w2", -np.inf))),
    "33 Inf bias": ("QM181", "'b1'", edit(set_value("b1", np.inf, 0))),
    "34 1e38": ("QM182", "'w1': 1 of 108", edit(set_value("w1", 1e38))),
}


def snapshot(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("row", BROKEN)
def test_refused_by_code_and_culprit(row: str, tmp_path: Path) -> None:
    code, culprit, make = BROKEN[row]
    path = make(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(QuaintError) as caught:
        load(path)
    assert caught.value.code == code, str(caught.value)
    assert culprit in str(caught.value)
    assert len(str(caught.value)) < 1500
    assert snapshot(tmp_path) == before


def test_near_matches_are_listed(tmp_path: Path) -> None:
    write(tmp_path, b"x", "mobilenet_v2.onnx")
    with pytest.raises(QuaintError, match=r"QM101.*did you mean 'mobilenet_v2\.onnx'"):
        load(tmp_path / "mobilenet_v1.onnx")


def test_cycle_is_printed_by_node_names(tmp_path: Path) -> None:
    with pytest.raises(QuaintError, match=r"relu1.* -> .*back.* -> |back.* -> .*relu1.* -> "):
        load(edit(cycle)(tmp_path))


@pytest.mark.parametrize("name", ["model", "model.bin", "modèle à moi.onnx"])
def test_content_decides_not_the_suffix(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, small().SerializeToString(), name)
    model = load(str(path))
    assert [n.op_type for n in model.graph] == ["Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]


def test_unsorted_graph_is_sorted(tmp_path: Path) -> None:
    proto = small()
    nodes = list(proto.graph.node)[::-1]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    expected = ["conv1", "relu1", "pool", "flat", "fc"]
    assert [n.name for n in load(write(tmp_path, proto.SerializeToString())).graph] == expected
    assert [n.name for n in load(ir.from_proto(proto)).graph] == expected


def test_repeated_node_names_are_numbered_with_a_warning() -> None:
    proto = small()
    for n in proto.graph.node[:3]:
        n.name = "same"
    with pytest.warns(QuaintWarning, match="'same' is now 'same_1'"):
        model = load(proto)
    assert [n.name for n in model.graph] == ["same", "same_1", "same_2", "flat", "fc"]
    assert [n.metadata_props.get("quaint.original_name") for n in model.graph][:3] == [None, "same", "same"]


def test_unnamed_nodes_get_names() -> None:
    proto = small()
    for n in proto.graph.node:
        n.name = ""
    proto.graph.node[4].name = "Conv_0"
    assert [n.name for n in load(proto).graph] == ["Conv_0_", "Relu_1", "GlobalAveragePool_2", "Flatten_3", "Conv_0"]


def test_external_data_is_read_into_memory(tmp_path: Path) -> None:
    weights = np.arange(108, dtype=np.float32)
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", b"pad!" + weights.tobytes(), "w.bin")
    path = edit(external("data/w.bin", offset=4, length=432))(tmp_path)
    model, lazy = load(path), load(ir.load(path))
    (tmp_path / "data" / "w.bin").unlink()
    for got in (model, lazy):
        np.testing.assert_array_equal(got.graph.initializers["w1"].const_value.numpy().ravel(), weights)


def test_external_data_of_a_model_in_memory_stays_in_its_folder(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    write(tmp_path, b"\0" * 432, "secret.bin")
    path = edit(external("../secret.bin"))(inside)
    with pytest.raises(QuaintError, match="QM140"):
        load(ir.load(path))
    with pytest.raises(QuaintError, match="QM142"):
        load(onnx.load(edit(external("w.bin"))(inside), load_external_data=False))


def test_links_are_followed_on_request(tmp_path: Path) -> None:
    path = linked("symlink")(tmp_path)
    model = load(path, limits=Limits(follow_links=True))
    assert not model.graph.initializers["w1"].const_value.numpy().any()


def test_a_named_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.bin")
    with pytest.raises(QuaintError, match="QM142"):
        load(edit(external("w.bin"))(tmp_path))
    with pytest.raises(QuaintError, match="QM103"):
        load(tmp_path / "w.bin")


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(model_bytes=100), "QM131"),
        (Limits(tensor_bytes=400), "QM131"),
        (Limits(nodes=4), "QM153"),
    ],
)
def test_limits(limits: Limits, code: str, tmp_path: Path) -> None:
    with pytest.raises(QuaintError, match=code):
        load(write(tmp_path, small().SerializeToString()), limits=limits)


def test_depth_is_limited_also_in_memory() -> None:
    proto = small()
    nest(proto, 40)
    with pytest.raises(QuaintError, match="QM153"):
        load(proto)


def test_sources_in_memory_stay_as_they_were() -> None:
    proto = small()
    proto.graph.node[0].name = "relu1"
    model = ir.from_proto(small())
    model.graph.node(0).name = "relu1"
    before = proto.SerializeToString()
    with pytest.warns(QuaintWarning):
        load(proto)
    with pytest.warns(QuaintWarning):
        load(model)
    assert proto.SerializeToString() == before
    assert [n.name for n in model.graph][:2] == ["relu1", "relu1"]


def test_local_functions_are_inlined() -> None:
    proto = small()
    body = [helper.make_node("Sigmoid", ["a"], ["s"]), helper.make_node("Mul", ["a", "s"], ["b"])]
    proto.functions.append(helper.make_function("my", "Swish", ["a"], ["b"], body, [helper.make_opsetid("", 17)]))
    proto.opset_import.append(helper.make_opsetid("my", 1))
    proto.graph.node[1].CopyFrom(helper.make_node("Swish", ["t1"], ["t2"], "swish", domain="my"))
    model = load(proto)
    assert [n.op_type for n in model.graph][:3] == ["Conv", "Sigmoid", "Mul"]
    assert not model.functions


@pytest.mark.parametrize("condition", ["constant", "shape"])
def test_control_flow_that_is_known_without_data_is_left(condition: str) -> None:
    proto = small()
    if condition == "constant":
        node(proto, "Constant", [], ["flag"], value=numpy_helper.from_array(np.array(True)))  # noqa: FBT003
    else:
        node(proto, "Size", ["x"], ["size"])
        node(proto, "Cast", ["size"], ["flag"], to=TensorProto.BOOL)
    branches(proto, "flag")
    assert "If" in [n.op_type for n in load(proto).graph]


def test_masks_and_bounds_may_be_infinite_or_huge() -> None:
    proto = small()
    lowest = np.finfo(np.float32).min
    for name, value in (("low", [-np.inf]), ("high", np.inf), ("mask", [0, -np.inf]), ("lowest", lowest)):
        proto.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    node(proto, "Clip", ["t2", "", "high"], ["z1"])
    node(proto, "Where", ["is", "low", "t2"], ["z2"])
    node(proto, "Greater", ["t2", "b1_"], ["is"])
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "b1_"))
    node(proto, "Add", ["y", "mask"], ["z3"])
    node(proto, "Softmax", ["z3"], ["z4"])
    node(proto, "Mul", ["y", "lowest"], ["z5"])
    assert len(load(proto).graph.initializers) == 8


def test_an_infinite_addend_is_no_mask() -> None:
    proto = small()
    proto.graph.initializer.append(numpy_helper.from_array(np.array([0, -np.inf], np.float32), "mask"))
    node(proto, "Add", ["y", "mask"], ["z3"])
    with pytest.raises(QuaintError, match="QM181"):
        load(proto)


def test_empty_vectors_are_legal() -> None:
    proto = small()
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros(0, np.float32), "roi"))
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"))
    node(proto, "Resize", ["t2", "roi", "scales"], ["z"], "up")
    assert "roi" in load(proto).graph.initializers


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.uint8, np.int32, np.int64, np.uint64, np.bool_])
@pytest.mark.parametrize("raw", [True, False])
def test_every_way_to_hold_data(dtype: type[np.generic], raw: bool) -> None:
    values = np.array([[1, 0, 1]]).astype(dtype)
    proto = small()
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    data = values.tobytes() if raw else values.ravel()
    proto.graph.initializer.append(helper.make_tensor("extra", kind, [1, 3], data, raw=raw))
    np.testing.assert_array_equal(load(proto).graph.initializers["extra"].const_value.numpy(), values)


def test_packed_data() -> None:
    proto = small()
    proto.graph.initializer.append(helper.make_tensor("extra", TensorProto.INT4, [3], [1, -2, 3]))
    assert load(proto).graph.initializers["extra"].const_value.numpy().tolist() == [1, -2, 3]


def test_long_chains_need_no_recursion() -> None:
    proto = small()
    del proto.graph.node[2:]
    for index in range(3000):
        node(proto, "Relu", [f"t{index + 2}"], [f"t{index + 3}"], f"r{index}")
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("t3002", TensorProto.FLOAT, None))
    assert len(load(proto).graph) == 3002


def test_newest_versions_run_on_onnxruntime() -> None:
    opset = min(onnx_operators.MAX_OPSET, onnx.defs.onnx_opset_version())
    proto = small(opset)
    proto.ir_version = min(onnx_operators.MAX_IR_VERSION, onnx.IR_VERSION)
    load(proto)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.zeros((1, 3, 8, 8), np.float32)})
    assert y.shape == (1, 2)


def test_a_front_end_validates_what_it_made() -> None:
    model = ir.from_proto(small())
    assert validate(model, "mine") is model
    model.opset_imports[""] = 99
    with pytest.raises(QuaintError, match="QM110.*in mine"):
        validate(model, "mine")


@pytest.mark.skipif(not SHARED, reason="no shared models: set QUAINT_TEST_DATA")
@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.stem)
def test_real_models_load(path: Path) -> None:
    model = load(path)
    assert len(model.graph) == len(onnx.load(path).graph.node)
    names = [n.name for n in model.graph]
    assert len(set(names)) == len(names)
    assert all(names)


_SMALL = small().SerializeToString()


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    edits=st.lists(st.tuples(st.integers(0, len(_SMALL) - 1), st.integers(0, 255)), max_size=4),
    end=st.one_of(st.none(), st.integers(0, len(_SMALL))),
)
@pytest.mark.filterwarnings("ignore::quaint.errors.QuaintWarning")
def test_damaged_files_give_a_model_or_a_refusal(
    edits: list[tuple[int, int]], end: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(_SMALL)
    for position, byte in edits:
        data[position] = byte
    path = write(tmp_path_factory.getbasetemp(), bytes(data[:end]))
    try:
        assert isinstance(load(path), ir.Model)
    except QuaintError as error:
        assert error.exit_code == 3
