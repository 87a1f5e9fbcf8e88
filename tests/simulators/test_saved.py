"""Saved models: onnxruntime alone runs them, and they are read back whole; hostile ones are refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from layer_models import FAMILIES, INT8, feeds_for, layer_model, quantizers, truth
from quaint.errors import QuaintError
from quaint.integer import IntegerModel, Layer
from quaint.layers.kernels import KERNELS
from quaint.numerics import IntType, QuantParams
from quaint.simulators.reference import Reference
from quaint.simulators.saved import from_onnx, to_bytes, to_onnx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Array = np.ndarray[Any, np.dtype[Any]]


def plain(model: bytes, feeds: dict[str, Array]) -> dict[str, Array]:
    """What stock onnxruntime makes of a file, with all its optimizations."""
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = ort.InferenceSession(model, options)
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def assert_restored(made: IntegerModel, model: IntegerModel) -> None:
    for key in ("name", "inputs", "outputs", "tensors", "shapes", "domain"):
        assert getattr(made, key) == getattr(model, key)
    for a, b in zip(made.layers, model.layers, strict=True):
        for key in ("op", "inputs", "outputs", "attributes", "name", "nodes"):
            assert getattr(a, key) == getattr(b, key)
        assert list(a.constants) == list(b.constants)
        for name, array in b.constants.items():
            assert a.constants[name].dtype == array.dtype
            np.testing.assert_array_equal(a.constants[name], array)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kernel_runs_in_plain_onnxruntime(family: str) -> None:
    @settings(max_examples=60, derandomize=True, deadline=None, database=None)
    @given(FAMILIES[family](), st.integers(0, 1 << 20))
    def check(model: IntegerModel, seed: int) -> None:
        feeds = feeds_for(model, seed)
        expected = truth(model, feeds)
        if expected is None:
            return
        try:
            saved = to_onnx(model, KERNELS, {})
        except QuaintError:  # sums beyond 2**53
            return
        onnx.checker.check_model(saved, full_check=True)
        np.testing.assert_array_equal(plain(saved.SerializeToString(), feeds)["y"], expected["y"])
        assert_restored(from_onnx(saved)[0], model)

    check()


@settings(max_examples=40, derandomize=True, deadline=None, database=None)
@given(quantizers())
def test_input_quantizer_runs_in_plain_onnxruntime(case: tuple[IntegerModel, dict[str, Array]]) -> None:
    model, feeds = case
    result = plain(to_bytes(model, KERNELS, {}), feeds)["y"]
    np.testing.assert_array_equal(result, Reference(model, KERNELS).run(feeds)["y"])


FLOAT = onnx.parser.parse_model(
    """<ir_version: 10, opset_import: ["": 21]>
    g (float[N,8] a) => (float[N,8] b, float[N] c) <float[8] w = {1, 2, 3, 4, 5, 6, 7, 8}>
    { b = Mul(a, w) axes = Constant<value = int64[1] {1}>() c = ReduceSum<keepdims = 0>(b, axes) }"""
)


def network() -> IntegerModel:
    """real -> q -> conv -> flat -> real -> two outputs of a float model."""
    rng = np.random.default_rng(0)
    window = {"strides": [1, 1], "pads": [0, 0, 0, 0], "dilations": [1, 1], "group": 1}
    layers = (
        Layer(
            "input_quantizer",
            ("x",),
            ("q",),
            {"factor": np.asarray(8, np.float32), "zero_point": np.asarray(0)},
            {"low": -128, "high": 127, "rounding": "half_even", "divide": False},
            "quantize",
        ),
        Layer(
            "conv",
            ("q",),
            ("features",),
            {"weight": rng.integers(-128, 128, (8, 3, 2, 2)), "bias": np.arange(8) * 100, "shift": np.asarray(6)},
            {"low": 0, "high": 127, "rounding": "half_up", **window},
            "conv1",
            ("Conv_1", "Relu_2"),
        ),
        Layer("reshape", ("features",), ("flat",), attributes={"shape": [0, -1]}),
        Layer(
            "dequantizer", ("flat",), ("real",), {"scale": np.asarray(0.25, np.float32), "zero_point": np.asarray(0)}
        ),
        Layer(
            "host", ("real",), ("b", "c"), {"model": np.frombuffer(FLOAT.SerializeToString(), np.uint8)}, name="host"
        ),
    )
    tensors = {
        "q": QuantParams(np.asarray(0.125), INT8),
        "features": QuantParams(np.arange(0.1, 0.9, 0.1), INT8, np.zeros(8, np.int64), 1),
        "flat": QuantParams(np.asarray(0.25), INT8),
    }
    shapes = {"x": (None, 3, 2, 2), "q": (None, 3, 2, 2), "features": (None, 8, 1, 1), "c": (None,)}
    shapes |= dict.fromkeys(("flat", "real", "b"), (None, 8))
    return IntegerModel("net", ("x",), ("b", "c"), layers, tensors, shapes, "quaint.test")


X = np.random.default_rng(1).normal(0, 4, (3, 3, 2, 2)).astype(np.float32)


def test_outputs_are_the_models_and_then_their_integers() -> None:
    saved = to_onnx(network(), KERNELS, {"who": "a test"})
    onnx.checker.check_model(saved, full_check=True)
    result = plain(saved.SerializeToString(), {"x": X})
    assert list(result) == ["b", "c", "flat"]
    assert result["flat"].dtype == np.int8
    expected = Reference(network(), KERNELS).run({"x": X}, list(result))
    for name, value in expected.items():
        np.testing.assert_array_equal(result[name], value)


def test_what_the_host_gives_has_its_own_type() -> None:
    types = {"in": onnx.TensorProto.FLOAT, "best": onnx.TensorProto.INT64, "no": onnx.TensorProto.BOOL}
    infos = [onnx.helper.make_tensor_value_info(name, kind, ["N", None]) for name, kind in types.items()]
    nodes = [onnx.helper.make_node("ArgMax", ["in"], ["best"], axis=1), onnx.helper.make_node("IsNaN", ["in"], ["no"])]
    graph = onnx.helper.make_graph(nodes, "host", infos[:1], infos[1:])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)
    data = np.frombuffer(made.SerializeToString(), np.uint8)
    base, last = network(), Layer("host", ("real",), ("best", "no"), {"model": data}, name="host")
    shapes = {**base.shapes, "best": (None, 1), "no": (None, 8)}
    model = replace(base, outputs=("best", "no"), layers=(*base.layers[:-1], last), shapes=shapes)
    result = plain(to_bytes(model, KERNELS, {}), {"x": X})
    assert (result["best"].dtype, result["no"].dtype) == (np.int64, np.bool_)
    np.testing.assert_array_equal(result["best"][:, 0], result["flat"].argmax(axis=1))


def test_the_model_and_the_properties_are_restored() -> None:
    made, properties = from_onnx(onnx.load_from_string(to_bytes(network(), KERNELS, {"who": "a test"})))
    assert properties == {"who": "a test"}
    assert_restored(made, network())


def test_the_same_bytes_again() -> None:
    assert to_bytes(network(), KERNELS, {"b": "2", "a": "1"}) == to_bytes(network(), KERNELS, {"a": "1", "b": "2"})


def test_constants_are_as_narrow_as_can_be_and_layers_share_functions() -> None:
    one = Layer("clip", ("x0",), ("t",), attributes={"low": 0, "high": 5}, name="first")
    two = Layer("clip", ("t",), ("y",), attributes={"low": 0, "high": 5}, name="second")
    base = layer_model("clip", [(INT8, (None, 4))], INT8, (None, 4))
    tensors = {**base.tensors, "t": base.tensors["y"]}
    both = IntegerModel("two", ("x0",), ("y",), (one, two), tensors, {**base.shapes, "t": (None, 4)}, "quaint.test")
    assert [function.name for function in to_onnx(both, KERNELS, {}).functions] == ["Clip"]
    types = {
        tensor.name: numpy_helper.to_array(tensor).dtype.name
        for tensor in to_onnx(network(), KERNELS, {}).graph.initializer
    }
    assert types["features.weight"] == types["features.shift"] == "int8"
    assert types["features.bias"] == "int16"


def test_a_process_without_quaint_runs_the_file(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(to_bytes(network(), KERNELS, {}))
    np.save(tmp_path / "x.npy", X)
    script = """
import sys
sys.modules["quaint"] = None
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("net.onnx")
np.savez("out.npz", *session.run(["b", "flat"], {"x": np.load("x.npy")}))
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    expected = Reference(network(), KERNELS).run({"x": X}, ["b", "flat"])
    with np.load(tmp_path / "out.npz") as made:
        for value, name in zip(made.values(), ("b", "flat"), strict=True):
            np.testing.assert_array_equal(value, expected[name])


def old_float_model(k: Any, x: Any) -> Any:
    old = onnx.version_converter.convert_version(FLOAT, 17)
    return k.host([k.dequantize(x, np.float32(1), 0, axis=1)], np.frombuffer(old.SerializeToString(), np.uint8))[0]


@pytest.mark.parametrize(("kernel", "dtype"), [(lambda k, x: k.add(x, 100), INT8), (old_float_model, None)])
def test_a_layer_without_an_exact_form_is_named(kernel: Any, dtype: IntType | None) -> None:
    model = layer_model("odd", [(INT8, (None, 8))], dtype, (None, 8))
    with pytest.raises(QuaintError) as caught:
        to_onnx(model, {"odd": kernel}, {})
    assert caught.value.code == "QT350"
    assert "'layer'" in str(caught.value)


def edit_model(change: Callable[[Any], None]) -> Callable[[onnx.ModelProto], None]:
    """Change the JSON of the model."""

    def edit(proto: onnx.ModelProto) -> None:
        entry = next(entry for entry in proto.metadata_props if entry.key == "quaint.model")
        data = json.loads(entry.value)
        change(data)
        entry.value = json.dumps(data)

    return edit


def edit_layer(change: Callable[[Any], None]) -> Callable[[onnx.ModelProto], None]:
    """Change the JSON of the convolution."""

    def edit(proto: onnx.ModelProto) -> None:
        entry = proto.graph.node[1].metadata_props[0]
        data = json.loads(entry.value)
        change(data)
        entry.value = json.dumps(data)

    return edit


def raw(text: str) -> Callable[[onnx.ModelProto], None]:
    def edit(proto: onnx.ModelProto) -> None:
        next(entry for entry in proto.metadata_props if entry.key == "quaint.model").value = text

    return edit


def weight(proto: onnx.ModelProto) -> onnx.TensorProto:
    tensors: dict[str, onnx.TensorProto] = {tensor.name: tensor for tensor in proto.graph.initializer}
    return tensors["features.weight"]


def external(proto: onnx.ModelProto) -> None:
    weight(proto).data_location = onnx.TensorProto.EXTERNAL
    weight(proto).external_data.add(key="location", value="/etc/passwd")


def shaped(*dims: int) -> Callable[[onnx.ModelProto], None]:
    def edit(proto: onnx.ModelProto) -> None:
        weight(proto).dims[:] = dims

    return edit


HOSTILE: dict[str, Callable[[onnx.ModelProto], object]] = {
    "no properties": lambda proto: proto.ClearField("metadata_props"),
    "not JSON": raw("{"),
    "deep JSON": raw("[" * 100_000),
    "long JSON": raw(" " * ((1 << 26) + 1)),
    "not an object": raw("[1, 2]"),
    "another format": edit_model(lambda data: data.update(format=2)),
    "names that are none": edit_model(lambda data: data.update(inputs=[1])),
    "a shape that is none": edit_model(lambda data: data["shapes"].update(q=[-1])),
    "a huge shape": edit_model(lambda data: data["shapes"].update(q=[1 << 50])),
    "no shape": edit_model(lambda data: data["shapes"].pop("q")),
    "a scale of zero": edit_model(lambda data: data["tensors"]["q"].update(scale=0)),
    "a type that is none": edit_model(lambda data: data["tensors"]["q"].update(dtype="int8; import os")),
    "parameters missing": edit_model(lambda data: data["tensors"].update(q={})),
    "an output that nobody makes": edit_model(lambda data: data.update(outputs=["nothing"])),
    "an attribute that is none": edit_layer(lambda data: data["attributes"].update(strides={"a": 1})),
    "more constants than inputs": edit_layer(lambda data: data["constants"].update({str(i): "int8" for i in range(9)})),
    "a constant of objects": edit_layer(lambda data: data["constants"].update(weight="object")),
    "a constant that does not fit": edit_layer(lambda data: data["constants"].update(bias="int8")),
    "no kernel": edit_layer(lambda data: data.pop("op")),
    "a constant missing": lambda proto: proto.graph.ClearField("initializer"),
    "a constant in another file": external,
    "less data than dims": shaped(8, 3, 2, 2000),
    "negative dims": shaped(8, 3, -1, 2),
    "dims that overflow": shaped(1 << 40, 1 << 40, 1 << 40),
    "a tensor used before it is made": lambda proto: proto.graph.node[2].input.__setitem__(0, "later"),
    "a tensor made twice": lambda proto: proto.graph.node[2].output.__setitem__(0, "q"),
}


@pytest.mark.parametrize("damage", HOSTILE)
def test_hostile_files_are_refused(damage: str) -> None:
    proto = to_onnx(network(), KERNELS, {})
    HOSTILE[damage](proto)
    with pytest.raises(QuaintError) as caught:
        from_onnx(proto)
    assert caught.value.code == "QM105"
    assert "Traceback" not in str(caught.value)
