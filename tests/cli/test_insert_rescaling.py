"""``quaint insert-rescaling``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result


def test_a_model_with_its_rescaling_is_written(
    run: Callable[..., Result], run_json: Callable[..., dict[str, Any]], digits: Path, tmp_path: Path
) -> None:
    out = tmp_path / "rescaled.onnx"
    args = ("insert-rescaling", digits / "digits.onnx", "--scale", "0.0625", "--offset", "-0.5", "--output", out)
    assert run_json(*args)["files"] == [str(out)]
    nodes = onnx.load(out).graph.node
    assert [node.op_type for node in nodes][:2] == ["Mul", "Add"]
    onnx.checker.check_model(onnx.load(out))
    assert "error[QI600]" in run(*args, code=8).stderr
    assert f"wrote {out}" in run(*args, "--force").stdout


def test_the_model_is_not_written_over(run: Callable[..., Result], digits: Path, tmp_path: Path) -> None:
    model = tmp_path / "digits.onnx"
    model.write_bytes((digits / "digits.onnx").read_bytes())
    assert "error[QI601]" in run("insert-rescaling", model, "--scale", 2, "--output", model, "--force", code=8).stderr


def test_a_scale_must_be_positive(run: Callable[..., Result], digits: Path, tmp_path: Path) -> None:
    args = ("insert-rescaling", digits / "digits.onnx", "--scale", 0, "--output", tmp_path / "out.onnx")
    assert "error[QU111]" in run(*args, code=2).stderr
