"""``quaint inspect``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

SPEAKING = """
from quaint.component import Lazy
from quaint.hookspecs import impl


def load(source):
    raise NotImplementedError


load.describe = lambda path: {"format": "talk", "bytes": path.stat().st_size, "parts": [{"name": "a", "scale": 0.5}]}


@impl
def quaint_frontends():
    yield Lazy(".talk", "quaint_talk:load", "a format that speaks for itself")
"""


def test_float_model(run: Callable[..., Result], run_json: Callable[..., dict[str, Any]], digits: Path) -> None:
    document = run_json("inspect", digits / "digits.onnx")
    assert document["format"] == "float"
    assert document["operators"]["Conv"] == 4
    assert document["parameters"] == 7882
    assert document["inputs"] == [{"name": "input", "shape": ["N", 1, 8, 8], "dtype": "float32"}]
    assert document["canonical"] is True
    residual = run_json("inspect", digits / "digits-residual.onnx")
    assert residual["canonical"] is False
    assert "BatchNormalization" in residual["operators"]
    assert "BatchNormalization" not in residual["canonical_operators"]
    assert "operators: Conv 4, Relu 3" in run("inspect", digits / "digits.onnx").stdout


def test_quantized_model(run: Callable[..., Result], run_json: Callable[..., dict[str, Any]], saved: Path) -> None:
    document = run_json("inspect", saved)
    assert document["format"] == "quantized"
    assert document["target"] == "demo8"
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert layers["conv1"]["op"] == "conv"
    assert layers["conv1"]["outputs"][0]["dtype"] == "int8"
    assert layers["conv1"]["constants"]["weight"] == "int8[16, 1, 3, 3]"
    text = run("inspect", saved).stdout
    assert "2^-" in text
    assert "relu1/output" in text


def test_a_front_end_describes_its_own_files(
    run: Callable[..., Result],
    run_json: Callable[..., dict[str, Any]],
    add_plugin: Callable[[str, str], None],
    tmp_path: Path,
) -> None:
    add_plugin("talk", SPEAKING)
    (tmp_path / "x.talk").write_bytes(b"\xfa\xfbhello")
    document = run_json("inspect", tmp_path / "x.talk")
    assert document == {"format": "talk", "bytes": 7, "parts": [{"name": "a", "scale": 0.5}], "warnings": []}
    assert "2^-1" in run("inspect", tmp_path / "x.talk").stdout


def test_what_nobody_reads(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("hello")
    assert "error[QM1" in run("inspect", tmp_path / "x.txt", code=3).stderr
    assert "error[QM101]" in run("inspect", tmp_path / "nowhere.onnx", code=3).stderr
