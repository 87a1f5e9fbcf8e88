"""What the options of the targets do to the files."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from espdl_proof import Net, quantized

from quaint.cli.inspect import describe
from quaint.errors import QuaintError
from quaint.report.build import build
from quaint.saved import load_quantized
from quaint_espdl.file.container import read
from quaint_espdl.file.encryption import KEY_VARIABLE
from quaint_espdl.reading.reader import load
from quaint_espdl.writing.exporter import export

if TYPE_CHECKING:
    from pathlib import Path

    from quaint.quantized import Quantized

FILE = "net.esp32p4.espdl"
SECRET = "00112233445566778899aabbccddeeff"


def made(**options: Any) -> Quantized:
    net = Net(x=("N", 4))
    model = net.model(net.add("Gemm", net["x"], np.eye(4, dtype=np.float32)))
    samples = {"x": np.random.default_rng(0).normal(size=(40, 4))}
    return quantized(model, "esp32p4", samples, options=options)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    pytest.importorskip("cryptography")
    path = tmp_path / "secret.hex"
    path.write_text(SECRET)
    return path


def test_without_the_text() -> None:
    assert set(export(made(), "net")) == {FILE, "net.esp32p4.info", "net.esp32p4.json"}
    assert set(export(made(info=False), "net")) == {FILE, "net.esp32p4.json"}


def test_without_test_vectors() -> None:
    model = read(export(made(test_vectors=False), "net")[FILE])
    assert not model.graph.test_inputs
    assert not model.graph.test_outputs
    assert "test_vectors" not in model.metadata


def test_the_runtime_stands_in_the_file() -> None:
    assert read(export(made(runtime="3.3.11"), "net")[FILE]).metadata["runtime"] == "3.3.11"


def test_an_encrypted_file_is_the_plain_one_under_the_key(key: Path) -> None:
    plain, locked = export(made(), "net"), export(made(encrypt=str(key)), "net")
    assert locked[FILE][:16] == b"EDL2" + struct.pack("<III", 1, len(plain[FILE]) - 16, 0)
    assert read(locked[FILE], key=bytes.fromhex(SECRET)) == read(plain[FILE])
    assert locked == export(made(encrypt=str(key)), "net")


def test_nothing_that_is_written_leads_to_the_key(key: Path) -> None:
    files = build(made(encrypt=str(key)), "net").files
    assert "net.esp32p4.info" not in files
    assert "manifest.json" in files
    for content in files.values():
        assert SECRET.encode() not in content.lower()
        assert key.name.encode() not in content


def test_a_model_that_was_saved_does_not_come_out_in_clear(key: Path, tmp_path: Path) -> None:
    made(encrypt=str(key)).save(str(tmp_path / "saved.onnx"))
    with pytest.raises(QuaintError, match=r"QI604.*options.encrypt=FILE"):
        load_quantized(tmp_path / "saved.onnx").files("net")


def test_reading_takes_the_key(key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    file, other = tmp_path / FILE, tmp_path / "other.hex"
    file.write_bytes(export(made(encrypt=str(key)), "net")[FILE])
    other.write_text(SECRET[::-1])
    with pytest.raises(QuaintError, match=rf"QM104.*encrypted.*set {KEY_VARIABLE} to the path"):
        load_quantized(file)
    with pytest.raises(QuaintError, match=r"QM104.*this key does not open"):
        load(file, key=other)
    assert load(file, key=key).target.name == "esp32p4"
    monkeypatch.setenv(KEY_VARIABLE, str(key))
    assert load_quantized(file).target.name == "esp32p4"
    assert describe(file)["encrypted"] is True


def package(**members: bytes) -> bytes:
    head, names = 8 + 12 * len(members), "".join(members).encode()
    entries, body, at, offset = b"", b"", head, -(-(head + len(names)) // 16) * 16
    for name, data in members.items():
        entries += struct.pack("<III", offset + len(body), at, len(name))
        at, body = at + len(name), body + data
    front = b"PDL2" + struct.pack("<I", len(members)) + entries + names
    return front + bytes(offset - len(front)) + body


def test_models_of_a_package_are_listed_and_read_by_name(key: Path, tmp_path: Path) -> None:
    plain, locked = export(made(), "net")[FILE], export(made(encrypt=str(key)), "net")[FILE]
    file = tmp_path / "several.espdl"
    file.write_bytes(package(plain=plain, locked=locked))
    listed = describe(file)["models"]
    assert [(entry["name"], entry["encrypted"]) for entry in listed] == [("plain", False), ("locked", True)]
    assert listed[0] | {"nodes": 1, "input_shapes": [[1, 4]], "output_shapes": [[1, 4]]} == listed[0]
    assert load(file, model="plain").target.name == load(file, model="locked", key=key).target.name == "esp32p4"
    with pytest.raises(QuaintError, match=r"QM104.*a package of several models.*takes one of plain, locked"):
        load_quantized(file)
    with pytest.raises(QuaintError, match=r"QT300.*no model 'plan'.*did you mean 'plain'"):
        load(file, model="plan")
