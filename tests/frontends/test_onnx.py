"""Files (rows 1 to 5 of the table of bad input), limits, damage, and real models."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quaint.errors import QuaintError, QuaintWarning
from quaint.frontends.onnx import Limits, load, validate

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(os.environ.get("QUAINT_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
SHARED = sorted([*DATA.glob("models/*.onnx"), *DATA.glob("corpus/*.onnx")])


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, b"{}")
    return buffer.getvalue()


CONTENT = {
    "2 empty": ("QM102", "model.onnx", b""),
    "3 random": ("QM103", "no known format", np.random.default_rng(0).bytes(999)),
    "3 zip": ("QM103", "a zip archive", archive("a.onnx")),
    "3 html": ("QM103", "a web page", b"\n<!DOCTYPE html><html></html>"),
    "3 lfs": ("QM103", "git lfs pull", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"),
    "3 pickle": ("QM103", "pickle", pickle.dumps({"w": 1.0})),
    "3 checkpoint": ("QM103", "PyTorch", archive("archive/data.pkl", "archive/version")),
    "3 keras": ("QM103", ".keras", archive("config.json", "model.weights.h5")),
    "3 hdf5": ("QM103", "HDF5", b"\x89HDF\r\n\x1a\n" + bytes(99)),
    "5 text": ("QM103", "text", b"ir_version: 8\n"),
    "5 json": ("QM103", "JSON", b'{"irVersion": 8}'),
}


@pytest.mark.parametrize("row", CONTENT)
def test_content_that_is_no_model(row: str, refuses: Callable[[Path, str, str], None], tmp_path: Path) -> None:
    code, culprit, data = CONTENT[row]
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    refuses(path, code, culprit)


def test_folder(refuses: Callable[[Path, str, str], None], tmp_path: Path) -> None:
    refuses(tmp_path, "QM103", "a folder")


def test_missing_file_lists_near_matches(refuses: Callable[[Path, str, str], None], tmp_path: Path) -> None:
    (tmp_path / "mobilenet_v2.onnx").write_bytes(b"x")
    refuses(tmp_path / "mobilenet_v1.onnx", "QM101", "did you mean 'mobilenet_v2.onnx'?")
    refuses(tmp_path / "mobilenet_v1.onnx", "QM101", str(tmp_path))
    refuses(tmp_path / "nowhere" / "model.onnx", "QM101", "nowhere' does not exist")
    refuses(tmp_path / "zero\0byte.onnx", "QM101", "cannot be read")


@pytest.mark.parametrize("missing", [1, 20, 400])
def test_truncated(
    missing: int, model: onnx.ModelProto, refuses: Callable[[Path, str, str], None], tmp_path: Path
) -> None:
    data = model.SerializeToString()[:-missing]
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    refuses(path, "QM104", f"({len(data)} bytes, at least")


def test_names_that_are_no_text(
    model: onnx.ModelProto, refuses: Callable[[Path, str, str], None], tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString().replace(b"conv1", b"conv\xff"))
    refuses(path, "QM104", "conv")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(QuaintError, match="QM103"):
        load(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["model", "model.bin", "modèle à moi.onnx"])
def test_content_decides_not_the_suffix(name: str, model: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(model.SerializeToString())
    loaded = load(str(path))
    assert [n.op_type for n in loaded.graph] == ["Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]


@pytest.mark.parametrize(
    ("limits", "code"),
    [(Limits(model_bytes=100), "QM131"), (Limits(tensor_bytes=400), "QM131"), (Limits(nodes=4), "QM153")],
)
def test_limits(limits: Limits, code: str, model: onnx.ModelProto, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(QuaintError, match=code):
        load(path, limits=limits)


def test_sources_in_memory_stay_as_they_were(model: onnx.ModelProto) -> None:
    model.graph.node[0].name = "relu1"
    before = model.SerializeToString()
    built = ir.from_proto(model)
    for source in (model, built):
        with pytest.warns(QuaintWarning, match="'relu1' is now 'relu1_1'"):
            load(source)
    assert model.SerializeToString() == before
    assert [n.name for n in built.graph][:2] == ["relu1", "relu1"]


def test_a_front_end_validates_what_it_made(model: onnx.ModelProto) -> None:
    built = ir.from_proto(model)
    assert validate(built, "mine") is built
    built.opset_imports[""] = 99
    with pytest.raises(QuaintError, match=r"QM110.*in mine"):
        validate(built, "mine")


@pytest.mark.skipif(not SHARED, reason="no shared models: set QUAINT_TEST_DATA")
@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.stem)
def test_real_models_load(path: Path) -> None:
    loaded = load(path)
    assert len(loaded.graph) == len(onnx.load(path).graph.node)
    names = [n.name for n in loaded.graph]
    assert len(set(names)) == len(names)
    assert all(names)


@settings(
    max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    edits=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), max_size=4),
    end=st.one_of(st.none(), st.integers(0, 900)),
)
@pytest.mark.filterwarnings("ignore::quaint.errors.QuaintWarning")
def test_damaged_files_give_a_model_or_a_refusal(
    model: onnx.ModelProto, tmp_path: Path, edits: list[tuple[int, int]], end: int | None
) -> None:
    data = bytearray(model.SerializeToString())
    for position, byte in edits:
        data[position % len(data)] = byte
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(data[:end]))
    with contextlib.suppress(QuaintError):
        assert isinstance(load(path), ir.Model)
