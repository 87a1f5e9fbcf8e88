"""``quaint run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quaint.simulators.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from quaint.quantized import Quantized


def test_writes_what_the_model_gives(
    run: Callable[..., Result], saved: Path, quantized: Quantized, digits: Path, tmp_path: Path
) -> None:
    result = run("run", saved, "--samples", digits / "test.npz", "--output", tmp_path / "out.npz")
    assert "logits  float32  450x10" in result.stdout
    with np.load(digits / "test.npz") as samples, np.load(tmp_path / "out.npz") as out:
        assert list(out) == ["logits"]
        np.testing.assert_array_equal(out["logits"], quantized.run(samples["input"])["logits"])


def test_integers_in_and_out(
    run_json: Callable[..., dict[str, Any]], saved: Path, quantized: Quantized, tmp_path: Path
) -> None:
    integers = np.random.default_rng(0).integers(-128, 128, (3, 1, 8, 8), np.int8)
    np.save(tmp_path / "x.npy", integers)
    args = ("--samples", tmp_path / "x.npy", "--integers", "--output", tmp_path / "out.npz", "--simulator", "reference")
    document = run_json("run", saved, *args)
    assert document["outputs"]["logits"]["dtype"] == "int8"
    assert document["samples"] == 3
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_array_equal(out["logits"], quantized.run(integers, integers=True)["logits"])


def test_floats_are_no_integers(run: Callable[..., Result], saved: Path, digits: Path) -> None:
    result = run("run", saved, "--samples", digits / "test.npz", "--integers", code=4)
    assert "error[QC213]" in result.stderr


def test_two_simulators_agree(
    run: Callable[..., Result], run_json: Callable[..., dict[str, Any]], saved: Path, digits: Path
) -> None:
    args = ("run", saved, "--samples", digits / "test.npz", "--against", "reference")
    assert "onnxruntime and reference agree bit for bit" in run(*args).stdout
    document = run_json(*args)
    assert document["equal"] is True
    assert document["tensors"] == 8
    assert document["differences"] == {}


def test_the_first_tensor_that_differs_is_named(
    run: Callable[..., Result],
    run_json: Callable[..., dict[str, Any]],
    saved: Path,
    digits: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = Reference.run

    def lie(self: Reference, feeds: Any, outputs: Any = None) -> dict[str, Any]:
        found = honest(self, feeds, outputs)
        return {name: v + (name in {"relu2/output", "logits_int"}) for name, v in found.items()}

    monkeypatch.setattr(Reference, "run", lie)
    args = ("run", saved, "--samples", digits / "test.npz", "--against", "reference")
    result = run(*args, code=6)
    assert "error[QV420]" in result.stderr
    assert "'relu2/output'" in result.stderr
    document = run_json(*args, code=6)
    assert document["first_difference"] == "relu2/output"
    assert set(document["differences"]) == {"relu2/output", "logits_int"}
    assert document["error"]["code"] == "QV420"


@pytest.mark.parametrize(("option", "value"), [("--simulator", "refrence"), ("--against", "onnxrunt")])
def test_unknown_simulator(run: Callable[..., Result], saved: Path, digits: Path, option: str, value: str) -> None:
    result = run("run", saved, "--samples", digits / "test.npz", option, value, code=2)
    assert "error[QU105]" in result.stderr
    assert "did you mean" in result.stderr


def test_a_float_model_is_not_run(run: Callable[..., Result], digits: Path) -> None:
    result = run("run", digits / "digits.onnx", "--samples", digits / "test.npz", code=3)
    assert "error[QM106]: not a quantized model" in result.stderr


def test_the_output_is_checked_first(run: Callable[..., Result], saved: Path, digits: Path, tmp_path: Path) -> None:
    args = ("run", saved, "--samples", digits / "test.npz", "--output")
    assert "error[QI601]" in run(*args, saved, "--force", code=8).stderr
    assert "error[QI602]" in run(*args, tmp_path / "nowhere" / "x.npz", code=8).stderr
    (tmp_path / "there.npz").touch()
    assert "error[QI600]" in run(*args, tmp_path / "there.npz", code=8).stderr
