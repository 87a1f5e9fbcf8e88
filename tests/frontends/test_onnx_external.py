"""External data: rows 18 to 21 of the table of bad input."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from quaint.errors import QuaintError
from quaint.frontends.onnx import Limits, load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZE = 432  # bytes of w1


def move(weights: TensorProto, location: str, **entries: object) -> None:
    """Say that the data of ``weights`` is in a file."""
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        weights.external_data.add(key=key, value=str(value))


def write(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


BROKEN = {
    "18 outside": ("QM140", "../secret.bin", "../secret.bin", {}),
    "18 outside, hidden": ("QM140", "w1", "a/../../secret.bin", {}),
    "18 outside, other system": ("QM140", "w1", "..\\secret.bin", {}),
    "19 absolute": ("QM140", "/etc/passwd", "/etc/passwd", {}),
    "19 absolute, other system": ("QM140", "w1", "C:\\secret.bin", {}),
    "19 zero byte": ("QM140", "w1", "w\0.bin", {}),
    "21 missing": ("QM142", "other.bin", "other.bin", {}),
    "21 folder": ("QM142", "w1", ".", {}),
    "21 short": ("QM143", "w1", "short.bin", {}),
    "21 offset": ("QM143", "w1", "w.bin", {"offset": 1 << 50}),
    "21 negative offset": ("QM144", "'-4'", "w.bin", {"offset": -4}),
    "21 negative length": ("QM144", "'-1'", "w.bin", {"length": -1}),
    "21 endless offset": ("QM144", "w1", "w.bin", {"offset": "9" * 5000}),
    "21 other length": ("QM130", "w1", "w.bin", {"length": SIZE - 4}),
    "21 unknown key": ("QM145", "shell", "w.bin", {"shell": "rm"}),
    "21 no location": ("QM145", "w1", "", {}),
}


@pytest.mark.parametrize("row", BROKEN)
def test_refused(
    row: str, model: onnx.ModelProto, refuses: Callable[[onnx.ModelProto, str, str], None], tmp_path: Path
) -> None:
    code, culprit, location, entries = BROKEN[row]
    (tmp_path / "w.bin").write_bytes(b"\0" * SIZE)
    (tmp_path / "short.bin").write_bytes(b"\0" * (SIZE - 1))
    move(model.graph.initializer[0], location, **entries)
    refuses(model, code, culprit)


def test_location_that_is_no_text(
    model: onnx.ModelProto, refuses: Callable[[Path, str, str], None], tmp_path: Path
) -> None:
    move(model.graph.initializer[0], "weights.bin")
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString().replace(b"weights.bin", b"weights\xffbin"))
    refuses(path, "QM145", "w1")


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "parent"])
def test_links(kind: str, model: onnx.ModelProto, refuses: Callable[[Path, str, str], None], tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "model"
    outside.mkdir()
    inside.mkdir()
    (outside / "w.bin").write_bytes(b"\0" * SIZE)
    if kind == "parent":
        (inside / "data").symlink_to(outside)
    elif kind == "symlink":
        (inside / "w.bin").symlink_to(outside / "w.bin")
    else:
        os.link(outside / "w.bin", inside / "w.bin")
    move(model.graph.initializer[0], "data/w.bin" if kind == "parent" else "w.bin")
    path = write(model, inside)
    refuses(path, "QM141", "w1")
    loaded = load(path, limits=Limits(follow_links=True))
    assert not loaded.graph.initializers["w1"].const_value.numpy().any()


def test_attributes_are_checked_too(
    model: onnx.ModelProto, refuses: Callable[[onnx.ModelProto, str, str], None]
) -> None:
    weights = model.graph.initializer.pop(0)
    move(weights, "../secret.bin")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w1"], "hidden", value=weights))
    refuses(model, "QM140", "hidden")


def test_functions_are_checked_too(
    model: onnx.ModelProto, refuses: Callable[[onnx.ModelProto, str, str], None]
) -> None:
    weights = TensorProto()
    weights.CopyFrom(model.graph.initializer[0])
    move(weights, "../secret.bin")
    body = [helper.make_node("Constant", [], ["w"], value=weights), helper.make_node("Add", ["a", "w"], ["b"])]
    model.functions.append(helper.make_function("my", "Hidden", ["a"], ["b"], body, [helper.make_opsetid("", 17)]))
    refuses(model, "QM140", "secret.bin")


def test_subgraphs_are_checked_too(
    model: onnx.ModelProto, refuses: Callable[[onnx.ModelProto, str, str], None]
) -> None:
    branch = onnx.GraphProto(name="branch")
    branch.initializer.append(model.graph.initializer[0])
    move(branch.initializer[0], "../secret.bin")
    model.graph.node.append(helper.make_node("If", ["c"], ["z"], "if", then_branch=branch, else_branch=branch))
    refuses(model, "QM140", "secret.bin")


def test_data_is_read_into_memory(model: onnx.ModelProto, tmp_path: Path) -> None:
    weights = np.arange(SIZE // 4, dtype=np.float32)
    (tmp_path / "data").mkdir()
    data = tmp_path / "data" / "w.bin"
    data.write_bytes(b"pad!" + weights.tobytes())
    tensor = model.graph.initializer.pop(0)
    move(tensor, "data/w.bin", offset=4, length=SIZE)
    twin = TensorProto()
    twin.CopyFrom(tensor)
    twin.name = "twin"
    model.graph.initializer.append(twin)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w1"], "hidden", value=tensor))
    path = write(model, tmp_path)
    loaded, lazy = load(path), load(ir.load(path))
    data.unlink()
    for got in (loaded, lazy):
        np.testing.assert_array_equal(got.graph.initializers["twin"].const_value.numpy().ravel(), weights)
        constant = got.graph[0].attributes["value"].as_tensor()
        np.testing.assert_array_equal(constant.numpy().ravel(), weights)


def test_a_model_in_memory_reads_from_its_folder_only(model: onnx.ModelProto, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(b"\0" * SIZE)
    (tmp_path / "model").mkdir()
    move(model.graph.initializer[0], "../secret.bin")
    with pytest.raises(QuaintError, match="QM140"):
        load(ir.load(write(model, tmp_path / "model")))
    model.graph.initializer[0].external_data[0].value = "secret.bin"
    with pytest.raises(QuaintError, match=r"QM142.*without a folder"):
        load(model)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_pipe_does_not_block(
    model: onnx.ModelProto, refuses: Callable[[onnx.ModelProto, str, str], None], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "w.bin")
    move(model.graph.initializer[0], "w.bin")
    refuses(model, "QM142", "w1")
