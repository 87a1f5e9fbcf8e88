"""``quaint compare``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result


def args(digits: Path, *targets: str) -> list[object]:
    chosen = [word for target in targets for word in ("--target", target)]
    samples = ["--samples", digits / "test.npz", "--labels", digits / "labels.npz"]
    return ["compare", digits / "digits.onnx", *chosen, *samples]


def test_one_table(run: Callable[..., Result], digits: Path) -> None:
    result = run(*args(digits, "demo8", "demo-strict"), "--calibration", digits / "calibration.npz")
    header = "target        float  integer"
    assert header in result.stdout
    assert "  refused  " in result.stdout
    assert "  pool1 (MaxPool): " in result.stdout
    assert "ranges come from the same samples" not in result.stdout
    assert max(map(len, result.stdout.splitlines()[:5])) <= 100


def test_json(run_json: Callable[..., dict[str, Any]], digits: Path) -> None:
    document = run_json(*args(digits, "demo8", "demo-strict", "Demo_8"))
    assert document["float_accuracy"] > 0.99
    assert document["same_samples"] is True
    good, bad = document["rows"]
    assert good["accuracy"] > 0.98
    assert good["agreement"] > 0.98
    assert 0 < good["noise"] < 0.01
    assert good["file"] == "digits.sizes"
    assert good["error"] is None
    assert bad["error"]["code"] == "QT310"
    assert bad["accuracy"] is None


def test_the_note_on_samples(run: Callable[..., Result], digits: Path) -> None:
    assert "ranges come from the same samples" in run(*args(digits, "demo8")).stdout


def test_none_can(run: Callable[..., Result], run_json: Callable[..., dict[str, Any]], digits: Path) -> None:
    result = run(*args(digits, "demo-strict"), code=5)
    assert "error[QT302]" in result.stderr
    assert "error[QT310]" in result.stdout
    assert run_json(*args(digits, "demo-strict"), code=5)["error"]["code"] == "QT302"


def test_output_holds_a_folder_for_each_target(run: Callable[..., Result], digits: Path, tmp_path: Path) -> None:
    run(*args(digits, "demo8", "demo-strict"), "--output", tmp_path / "out")
    found = sorted(file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.*"))
    names = ["digits.demo8.onnx", "digits.sizes", "manifest.json", "report.html", "report.json"]
    assert found == ["comparison.json", *(f"demo8/{name}" for name in names)]
    text = (tmp_path / "out" / "comparison.json").read_text()
    assert len(json.loads(text)["rows"]) == 2
    assert "seconds" not in text


def test_unknown_target_before_anything_is_read(run: Callable[..., Result]) -> None:
    assert "error[QT300]" in run("compare", "nowhere.onnx", "--target", "demo8", "--target", "demo9", code=2).stderr


def test_labels_that_do_not_fit(run: Callable[..., Result], digits: Path) -> None:
    fewer = ["compare", digits / "digits.onnx", "--target", "demo8", "--samples", digits / "calibration.npz"]
    assert "error[QC214]" in run(*fewer, "--labels", digits / "labels.npz", code=4).stderr
