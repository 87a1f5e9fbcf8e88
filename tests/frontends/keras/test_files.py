"""Keras files are read without Keras; bad and hostile ones are refused in one line."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quaint.errors import QuaintError
from quaint.frontends.keras import load
from quaint.frontends.limits import Limits

if TYPE_CHECKING:
    from pathlib import Path

h5py = pytest.importorskip("h5py", reason="h5py is not installed")

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)


def tensor(layer: str) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [layer, 0, 0]}}


def entry(class_name: str, name: str, *sources: str, **config: Any) -> dict[str, Any]:
    return {
        "module": "keras.layers",
        "class_name": class_name,
        "config": {"name": name, **config},
        "name": name,
        "inbound_nodes": [{"args": [tensor(source) for source in sources], "kwargs": {}}] if sources else [],
    }


MODEL = {
    "module": "keras.src.models.functional",
    "class_name": "Functional",
    "config": {
        "name": "tiny",
        "layers": [
            entry("InputLayer", "x", batch_shape=[None, 2], dtype="float32"),
            entry("Dense", "dense", "x", units=3, use_bias=False, activation="relu"),
            entry("ReLU", "relu", "dense", max_value=1.0),
        ],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["relu", 0, 0]],
    },
}


def archive(path: Path, model: Any = MODEL, version: str = "3.15.1", kernel: Any = KERNEL, **options: Any) -> Path:
    with h5py.File(path.with_suffix(".weights"), "w") as file:
        if kernel is not None:
            file.create_dataset("layers/dense/vars/0", data=kernel, **options)
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("config.json", model if isinstance(model, str) else json.dumps(model))
        zipped.writestr("metadata.json", json.dumps({"keras_version": version}))
        zipped.write(path.with_suffix(".weights"), "model.weights.h5")
    return path


def refusal(path: Path, limits: Limits | None = None) -> QuaintError:
    with pytest.raises(QuaintError) as caught:
        load(path, limits=limits or Limits())
    assert "\n" not in str(caught.value)
    return caught.value


def test_archive(tmp_path: Path) -> None:
    model = load(archive(tmp_path / "tiny.keras"))
    x = np.array([[0.5, 0.25], [-1, 0]], np.float32)
    session = ort.InferenceSession(ir.to_proto(model).SerializeToString())
    np.testing.assert_array_equal(session.run(["relu"], {"x": x})[0], np.clip(x @ KERNEL, 0, 1))


def test_neither_keras_nor_tensorflow_is_imported(tmp_path: Path) -> None:
    path = archive(tmp_path / "tiny.keras")
    code = (
        "import sys; from quaint.frontends.keras import load; load(sys.argv[1]);"
        "assert not {'keras', 'tf_keras', 'tensorflow', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_missing_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "tiny.keras")
    monkeypatch.setitem(sys.modules, "h5py", None)
    error = refusal(path)
    assert error.code == "QP530"
    assert "quaint[keras]" in str(error)


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "QM101"), (b"", "QM102"), (b"hello", "QM103"), (b"PK\x03\x04", "QM103"), (b"\x89HDF\r\n\x1a\n", "QM104")],
)
def test_not_a_model(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "m.keras"
    if content is not None:
        path.write_bytes(content)
    assert refusal(path).code == code


def test_weights_without_a_model(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["kernel"] = KERNEL
    assert refusal(tmp_path / "w.h5").code == "QM103"


def test_truncated(tmp_path: Path) -> None:
    path = archive(tmp_path / "m.keras")
    content = path.read_bytes()
    for size in range(0, len(content), 97):
        path.write_bytes(content[:size])
        assert refusal(path).code in {"QM102", "QM103", "QM104"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"model": "{"}, "QM104"),
        ({"model": "[" * 100_000}, "QM104"),
        ({"model": "[]"}, "QM104"),
        ({"version": "x"}, "QM104"),
        ({"version": "1.2.2"}, "QM110"),
        ({"kernel": None}, "QM104"),
        ({"kernel": np.array([b"text"])}, "QM160"),
    ],
)
def test_malformed(tmp_path: Path, change: dict[str, Any], code: str) -> None:
    assert refusal(archive(tmp_path / "m.keras", **change)).code == code


def changed(index: int, **keys: Any) -> dict[str, Any]:
    model = copy.deepcopy(MODEL)
    model["config"]["layers"][index].update(keys)
    return model


@pytest.mark.parametrize(
    ("model", "code", "where"),
    [
        (changed(1, inbound_nodes=entry("", "", "relu")["inbound_nodes"]), "QM120", "dense"),
        (changed(2, inbound_nodes=entry("", "", "nobody")["inbound_nodes"]), "QM121", "nobody"),
        (changed(2, inbound_nodes=[{"args": [tensor("dense")], "kwargs": {"training": True}}]), "QM150", "relu"),
        (changed(1, registered_name="Mine>Dense"), "QM150", "Mine>Dense"),
        (changed(1, module="os"), "QM150", "os.Dense"),
        (changed(2, class_name="Lambda"), "QM190", "Lambda"),
        (changed(1, config={"activation": {"class_name": "__lambda__", "config": {"value": ""}}}), "QM190", "dense"),
        (changed(1, config={"activation": {"value": ["", None, None]}}), "QM190", "dense"),
        (changed(1, config=MODEL["config"]["layers"][1]["config"] | {"activation": "rleu"}), "QM150", "relu"),
        (changed(1, config={"dtype": {"class_name": "QuantizedDTypePolicy"}, "use_bias": False}), "QM170", "dense"),
        (changed(0, config={"batch_shape": [None, 2], "dtype": "string"}), "QM152", "string"),
    ],
)
def test_refused_models(tmp_path: Path, model: Any, code: str, where: str) -> None:
    error = refusal(archive(tmp_path / "m.keras", model))
    assert error.code == code
    assert where in str(error)


def test_models_nested_too_deeply(tmp_path: Path) -> None:
    model: dict[str, Any] = MODEL
    for _ in range(70):
        model = {"class_name": "Sequential", "config": {"name": "s", "layers": [model]}}
    assert refusal(archive(tmp_path / "m.keras", model)).code in {"QM104", "QM153"}


def test_links_and_foreign_data_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["kernel"] = KERNEL
    for name in ("external link", "soft link", "external data", "virtual data"):
        with h5py.File(tmp_path / "m.h5", "w") as file:
            file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(MODEL), "3.0"
            group = file.create_group("model_weights/dense")
            group.attrs["weight_names"] = ["kernel"]
            if name == "external link":
                group["kernel"] = h5py.ExternalLink(str(secret), "kernel")
            elif name == "soft link":
                group["kernel"] = h5py.SoftLink("/elsewhere")
            elif name == "external data":
                group.create_dataset("kernel", (2, 3), "f4", external=[(str(secret), 0, 24)])
            else:
                layout = h5py.VirtualLayout((2, 3), "f4")
                layout[:] = h5py.VirtualSource(str(secret), "kernel", (2, 3))
                group.create_virtual_dataset("kernel", layout)
        assert refusal(tmp_path / "m.h5").code == "QM140"


def test_nothing_inflates(tmp_path: Path) -> None:
    zeros = archive(tmp_path / "a.keras", kernel=np.zeros((1000, 1000), np.float32), compression="gzip")
    assert refusal(zeros).code == "QM131"
    assert refusal(archive(tmp_path / "b.keras"), Limits(tensor_bytes=8)).code == "QM131"
    with zipfile.ZipFile(tmp_path / "c.keras", "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            zipped.writestr(name, b" " * 8_000_000)
    assert refusal(tmp_path / "c.keras").code == "QM131"


def test_weights_in_another_order_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(MODEL), "2.15.0"
        group = file.create_group("model_weights/dense")
        group.attrs["weight_names"] = ["dense/bias:0"]
        group["dense/bias:0"] = KERNEL
    error = refusal(tmp_path / "m.h5")
    assert error.code == "QM104"
    assert "dense/kernel" in str(error)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(inner for key, item in items for inner in places(item, (*path, key)))]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.sampled_from(places(MODEL)[1:]),
    value=st.sampled_from([None, 0, -1, 2**70, 0.5, "", "x", "dense", [], {}, [["dense", 0, 0]], True]),
)
def test_a_changed_configuration_loads_or_is_refused(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    model = copy.deepcopy(MODEL)
    result: ir.Model | QuaintError
    parent: Any = model
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    path = archive(tmp_path / "m.keras", model)
    try:
        result = load(path)
    except QuaintError as error:
        result = error
    assert isinstance(result, ir.Model) or result.code.startswith("QM")
