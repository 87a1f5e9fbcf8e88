"""The output folder: names, hashes, golden vectors."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quaint.errors import QuaintError
from quaint.numerics import QuantParams
from quaint.report.build import build, expected_files, safe_name

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from quaint.quantized import Quantized


def decoded(entry: dict[str, Any]) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(entry["base64"]), entry["dtype"]).reshape(entry["shape"])


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("digits", "digits"),
        ("../../etc/passwd", "etc_passwd"),
        ("a b\x1b[31m<c>", "a_b_31m_c"),
        ("größe", "größe"),
        ("", "model"),
        ("...", "model"),
        ("x" * 300, "x" * 100),
    ],
)
def test_safe_name(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_files(quantized: Quantized, digits: Path) -> None:
    files = build(quantized, "net", model_file=digits / "digits.onnx").files
    assert sorted(files) == sorted(expected_files("net", quantized.target))
    manifest = json.loads(files["manifest.json"])
    assert manifest["files"] == {
        name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files) if name != "manifest.json"
    }
    assert manifest["plugin"] is None
    assert files == build(quantized, "net", model_file=digits / "digits.onnx").files


def test_golden_vectors_are_the_chips_integers(quantized: Quantized, digits: Path) -> None:
    manifest = json.loads(build(quantized, "net").files["manifest.json"])
    entering, leaving = manifest["golden"]["inputs"], manifest["golden"]["outputs"]
    assert list(entering) == ["input_int"]
    with np.load(digits / "calibration.npz") as samples:
        first = samples["input"][:1]
    params = QuantParams.from_dict(manifest["tensors"]["input_int"])
    np.testing.assert_array_equal(decoded(entering["input_int"]), params.quantize(first))
    again = quantized.run(decoded(entering["input_int"]), integers=True, simulator="reference")
    np.testing.assert_array_equal(decoded(leaving["logits_int"]), again["logits"])


def test_what_was_loaded_from_a_file_has_no_report(quantized: Quantized) -> None:
    files, report = build(replace(quantized, samples=None, source=None), "net")
    assert sorted(files) == ["manifest.json", "net.demo8.onnx"]
    assert json.loads(files["manifest.json"])["golden"] is None
    assert report is None


def test_without_analysis_only_the_report_differs(quantized: Quantized) -> None:
    """The golden vectors come from the reference then, and are the same."""
    measured, plain = build(quantized, "net"), build(quantized, "net", analysis=False)
    assert measured.report is not None
    assert plain.report is not None
    assert all(layer.noise is not None for layer in measured.report.layers)
    assert [(layer.noise, layer.saturated) for layer in plain.report.layers] == [(None, None)] * len(
        plain.report.layers
    )
    assert (plain.report.agreement, plain.report.outputs) == (None, {})
    assert plain.report.cost == measured.report.cost
    assert json.loads(plain.files["report.json"])["layers"][0]["noise"] is None
    assert b"not compared with its float source" in plain.files["report.html"]
    assert b"Same class as float" in measured.files["report.html"]
    assert b"Same class as float" not in plain.files["report.html"]
    both = (json.loads(made.files["manifest.json"])["golden"] for made in (measured, plain))
    assert next(both) == next(both)
    changed = [name for name, content in measured.files.items() if plain.files[name] != content]
    assert changed == ["report.json", "report.html", "manifest.json"]


def test_export_without_analysis(quantized: Quantized, tmp_path: Path) -> None:
    quantized.export(tmp_path, analysis=False)
    assert json.loads((tmp_path / "report.json").read_text())["agreement"] is None


def test_export(quantized: Quantized, tmp_path: Path) -> None:
    names = quantized.export(tmp_path / "build")
    assert names == ["digits.demo8.onnx", "report.json", "report.html", "manifest.json"]
    assert sorted(names) == sorted(file.name for file in (tmp_path / "build").iterdir())
    with pytest.raises(QuaintError, match="QI600"):
        quantized.export(tmp_path / "build")
    assert quantized.export(tmp_path / "build", "other", force=True)[0] == "other.demo8.onnx"
