"""Verifying output folders: every damage is found, and nothing else is."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from quaint.errors import QuaintError
from quaint.report.build import build
from quaint.report.sealing import seal
from quaint.verification import verify

if TYPE_CHECKING:
    from pathlib import Path

    from quaint.quantized import Quantized


@pytest.fixture(scope="module")
def files(quantized: Quantized) -> dict[str, bytes]:
    return build(quantized, "digits").files


@pytest.fixture
def folder(files: dict[str, bytes], plugins: Path, tmp_path: Path) -> Path:  # noqa: ARG001 - the saved file names its target
    path = tmp_path / "build"
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def problems(path: Path) -> dict[str, str]:
    return {finding.file: finding.problem.code for finding in verify(path) if finding.problem}


def changed(folder: Path, change: Any) -> None:
    """Write the manifest anew, sealed, with a change in it."""
    facts = json.loads((folder / "manifest.json").read_bytes())
    del facts["sha256"]
    change(facts)
    (folder / "manifest.json").write_bytes(seal(facts))


def test_a_folder_as_it_was_written(folder: Path) -> None:
    found = {finding.file: finding.checks for finding in verify(folder)}
    assert found == {
        "manifest.json": ("seal",),
        "digits.demo8.onnx": ("hash", "seal", "golden vectors"),
        "report.html": ("hash",),
        "report.json": ("hash",),
    }
    assert not problems(folder)


def test_a_single_saved_model(folder: Path) -> None:
    (found,) = verify(folder / "digits.demo8.onnx")
    assert found.checks == ("seal",)


@pytest.mark.parametrize("name", ["digits.demo8.onnx", "report.json", "report.html", "manifest.json"])
def test_any_changed_byte_is_found(folder: Path, name: str) -> None:
    content, chance = (folder / name).read_bytes(), random.Random(name)
    for _ in range(20):
        damaged = bytearray(content)
        damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        (folder / name).write_bytes(damaged)
        assert problems(folder) == {name: "QV401"}
    (folder / name).write_bytes(content[:-1])
    assert problems(folder) == {name: "QV401"}


def test_a_missing_file_is_found(folder: Path) -> None:
    (folder / "report.html").unlink()
    assert problems(folder) == {"report.html": "QV401"}


def test_a_file_outside_the_folder_is_not_looked_at(folder: Path) -> None:
    changed(folder, lambda facts: facts["files"].update({"../secret": "0"}))
    assert problems(folder) == {"../secret": "QV401"}


def test_golden_vectors_that_do_not_come_out(folder: Path) -> None:
    def swap(facts: Any) -> None:
        (entry,) = facts["golden"]["outputs"].values()
        entry["base64"] = entry["base64"][:-4] + "fw=="

    changed(folder, swap)
    assert problems(folder) == {"digits.demo8.onnx": "QV402"}


def test_parameters_that_differ_from_the_manifest(folder: Path) -> None:
    changed(folder, lambda facts: facts["tensors"]["logits_int"].update({"scale": 1.0}))
    assert problems(folder) == {"digits.demo8.onnx": "QV403"}


def test_a_damaged_single_file(folder: Path) -> None:
    path = folder / "digits.demo8.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    assert problems(path) == {"digits.demo8.onnx": "QV404"}


@pytest.mark.parametrize("key", ["files", "tensors", "golden"])
def test_a_sealed_manifest_of_another_form(folder: Path, key: str) -> None:
    changed(folder, lambda facts: facts.update({key: 1}))
    assert problems(folder) == {"manifest.json": "QV401"}


@pytest.mark.parametrize(("name", "code"), [("nothing.onnx", "QM101"), ("empty", "QM101"), ("report.json", "QM106")])
def test_what_is_no_output(folder: Path, name: str, code: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(QuaintError) as raised:
        verify(folder / name)
    assert raised.value.code == code
