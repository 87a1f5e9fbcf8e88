"""Output folders with an ``.espdl`` file: what ``quaint verify`` finds."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from espdl_proof import DIGITS

import quaint
from quaint.report.sealing import seal
from quaint.verification import verify
from quaint_espdl.file.container import read, write

if TYPE_CHECKING:
    from pathlib import Path

NAME = "digits.esp32p4.espdl"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("build")
    quaint.quantize(DIGITS / "digits.onnx", "esp32p4", np.load(DIGITS / "calibration.npz")["input"]).export(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.fixture
def folder(original: dict[str, bytes], tmp_path: Path) -> Path:
    for name, content in original.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def put(folder: Path, content: bytes) -> None:
    """Replace the file, and its hash in the manifest."""
    (folder / NAME).write_bytes(content)
    facts = json.loads((folder / "manifest.json").read_bytes())
    del facts["sha256"]
    facts["files"][NAME] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_bytes(seal(facts))


def codes(path: Path) -> dict[str, str]:
    return {finding.file: finding.problem.code for finding in verify(path) if finding.problem}


def test_a_folder_as_it_was_written(folder: Path) -> None:
    found = {finding.file: finding.checks for finding in verify(folder)}
    assert found[NAME] == ("hash", "structure", "test vectors", "integers of 8 tensors")
    assert not codes(folder)


def test_any_changed_byte_is_found(folder: Path, original: dict[str, bytes]) -> None:
    chance = random.Random(0)
    for name in sorted(original):
        content = bytearray(original[name])
        content[chance.randrange(len(content))] ^= 0x10
        (folder / name).write_bytes(content)
        assert codes(folder) == {name: "QV401"}
        (folder / name).write_bytes(original[name])


def test_another_model_under_a_true_hash(folder: Path, original: dict[str, bytes]) -> None:
    model = read(original[NAME])
    bias = next(tensor for tensor in model.graph.initializers if tensor.name == "dense.bias")
    other = replace(bias, raw=(bias.array + 4096).astype("<i4").tobytes())
    graph = replace(model.graph, initializers=tuple(other if t is bias else t for t in model.graph.initializers))
    put(folder, write(replace(model, graph=graph)))
    assert codes(folder) == {NAME: "QV402"}
    assert codes(folder / NAME) == {NAME: "QV402"}
    put(folder, write(replace(model, graph=replace(graph, test_inputs=(), test_outputs=()))))
    assert codes(folder) == {NAME: "QV403"}
    assert not codes(folder / NAME)  # nothing in the file itself tells


def test_other_exponents_under_a_true_hash(folder: Path, original: dict[str, bytes]) -> None:
    model = read(original[NAME])

    def finer(infos: Any) -> Any:
        return tuple(replace(i, exponents=(i.exponents[0] - 1,)) if i.name == "logits" else i for i in infos)

    graph = model.graph
    graph = replace(graph, outputs=finer(graph.outputs), value_info=finer(graph.value_info), test_inputs=())
    put(folder, write(replace(model, graph=graph)))
    (problem,) = (finding.problem for finding in verify(folder) if finding.problem)
    assert problem.code == "QV403"
    assert "tensor 'logits' has other parameters" in problem.what


def test_bytes_of_a_single_file_beyond_the_bounds(folder: Path, original: dict[str, bytes]) -> None:
    (folder / NAME).write_bytes(original[NAME][:-16])
    assert codes(folder / NAME) == {NAME: "QV404"}
