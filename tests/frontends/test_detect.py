from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto, helper

from quaint.frontends.detect import FORMATS, declared_size, detect

if TYPE_CHECKING:
    from pathlib import Path


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, b"{}")
    return buffer.getvalue()


def array(save: object = np.save) -> bytes:
    buffer = io.BytesIO()
    save(buffer, np.zeros(3))  # type: ignore[operator]
    return buffer.getvalue()


def model() -> bytes:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", info[:1], info[1:])
    return helper.make_model(graph).SerializeToString()


CASES = {
    "onnx": model(),
    "empty": b"",
    "keras": archive("metadata.json", "config.json", "model.weights.h5"),
    "h5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "pt2": archive("model/archive_format", "model/models/model.json"),
    "torch": archive("checkpoint/data.pkl", "checkpoint/version"),
    "pickle": pickle.dumps([1]),
    "npz": array(np.savez),
    "npy": array(),
    "zip": archive("readme.txt"),
    "compressed": gzip.compress(b"hello"),
    "flatbuffer": b"\x1c\0\0\0ABC3" + bytes(40),
    "lfs-pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "html": b"\xef\xbb\xbf  <!DOCTYPE html>",
    "json": b'  {"a": 1}',
    "text": "größer\n".encode(),
    "unknown": bytes(range(200, 256)),
}


def test_every_format_has_a_case() -> None:
    assert {*CASES, "folder"} == set(FORMATS)


@pytest.mark.parametrize("kind", CASES)
def test_content_tells_the_format(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file.onnx"
    path.write_bytes(CASES[kind])
    assert detect(path) == kind


def test_folder(tmp_path: Path) -> None:
    assert detect(tmp_path) == "folder"


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_truncated_model_is_still_recognized(kept: float, tmp_path: Path) -> None:
    path = tmp_path / "file.onnx"
    path.write_bytes(model()[: int(len(model()) * kept)])
    assert detect(path) == "onnx"
    assert declared_size(path) >= path.stat().st_size


def test_a_damaged_archive_is_still_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "file.onnx"
    path.write_bytes(CASES["keras"][:60])
    assert detect(path) == "zip"
