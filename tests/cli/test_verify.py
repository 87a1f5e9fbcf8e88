"""``quaint verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def build(run: Callable[..., Result], digits: Path, tmp_path: Path) -> Path:
    run(
        "quantize", digits / "digits.onnx", "--target", "demo8", "--samples", digits / "calibration.npz",
        "--output", tmp_path / "build",
    )  # fmt: skip
    return tmp_path / "build"


def test_one_line_for_each_file(
    run: Callable[..., Result], run_json: Callable[..., dict[str, Any]], build: Path
) -> None:
    lines = run("verify", build).stdout.splitlines()
    assert "ok digits.demo8.onnx: hash, seal, golden vectors" in lines
    assert len(lines) == len(list(build.iterdir()))
    document = run_json("verify", build)
    assert document["verified"] is True
    assert document["files"][0] == {"file": "manifest.json", "checks": ["seal"], "problem": None}


def test_what_is_wrong(run: Callable[..., Result], run_json: Callable[..., dict[str, Any]], build: Path) -> None:
    (build / "report.html").write_text("another")
    result = run("verify", build, code=6)
    assert "wrong report.html" in result.stdout
    assert result.stderr.startswith("error[QV401]: 1 of 5 files are not right")
    document = run_json("verify", build, code=6)
    assert document["verified"] is False
    assert [file["problem"]["code"] for file in document["files"] if file["problem"]] == ["QV401"]


def test_no_output_folder(run: Callable[..., Result], tmp_path: Path) -> None:
    assert "error[QM101]: there is no manifest.json" in run("verify", tmp_path, code=3).stderr
