"""``quaint check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result


def test_deployable(run: Callable[..., Result], run_json: Callable[..., dict[str, Any]], digits: Path) -> None:
    args = ("check", digits / "digits.onnx", "--target", "demo8")
    assert "deployable on demo8: 8 layers on the chip" in run(*args).stdout
    document = run_json(*args)
    assert document["deployable"] is True
    assert document["layers"][0] == {"name": "conv1", "nodes": ["conv1", "relu1"]}
    assert document["host"] == []
    assert document["cost"]["totals"]["macs"] == 120960
    assert document["cost"]["peak_layer"] == "pointwise3"
    assert "(peak)" in run(*args).stdout


def test_not_deployable(run: Callable[..., Result], run_json: Callable[..., dict[str, Any]], digits: Path) -> None:
    args = ("check", digits / "digits.onnx", "--target", "demo-strict")
    result = run(*args, code=5)
    assert result.stderr.startswith("error[QT310]: demo-strict cannot run 2 layers")
    assert "  pool1 (MaxPool): " in result.stderr
    assert len(run_json(*args, code=5)["error"]["details"]) == 2


def test_until_makes_it_deployable(run_json: Callable[..., dict[str, Any]], digits: Path) -> None:
    document = run_json("check", digits / "digits.onnx", "--target", "demo-strict", "--until", "relu1")
    assert [layer["name"] for layer in document["layers"]] == ["conv1"]


def test_ranges_of_a_quantized_model(
    run: Callable[..., Result], run_json: Callable[..., dict[str, Any]], saved: Path
) -> None:
    result = run("check", saved)
    assert "saturation depends on the samples" in result.stdout
    tensors = {tensor["name"]: tensor for tensor in run_json("check", saved)["tensors"]}
    assert tensors["logits_int"]["dtype"] == "int8"
    assert tensors["logits_int"]["low"] == -128 / 127 * tensors["logits_int"]["high"]


def test_saturation_on_samples(
    run: Callable[..., Result], run_json: Callable[..., dict[str, Any]], saved: Path, digits: Path, tmp_path: Path
) -> None:
    document = run_json("check", saved, "--samples", digits / "test.npz")
    assert document["met"] is True
    assert all(tensor["saturated"] < 0.01 for tensor in document["tensors"])
    with np.load(digits / "test.npz") as samples:
        np.save(tmp_path / "loud.npy", samples["input"] * 100)
    result = run("check", saved, "--samples", tmp_path / "loud.npy", code=6)
    assert "error[QV410]" in result.stderr
    assert "  tensor 'relu1/output' of conv1: " in result.stderr
    document = run_json("check", saved, "--samples", tmp_path / "loud.npy", code=6)
    assert document["met"] is False
    assert document["error"]["code"] == "QV410"
    assert run_json("check", saved, "--samples", tmp_path / "loud.npy", "--max-saturation", "1")["met"] is True
