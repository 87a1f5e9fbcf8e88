"""Published models on their labelled samples: the float accuracy is met again, and integers keep it."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

TARGET = 5


@pytest.fixture(scope="module")
def load(data: Path) -> ModuleType:
    """The data's own reader of samples."""
    pytest.importorskip("PIL")
    spec = importlib.util.spec_from_file_location("quaint_test_data_load", data / "load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def files(
    load: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], tuple[tuple[object, ...], np.ndarray[Any, Any]]]:
    """Samples of a split, and their labels, as options of ``compare``; and the labels."""
    folder = tmp_path_factory.mktemp("samples")

    def write(model: str, split: str) -> tuple[tuple[object, ...], np.ndarray[Any, Any]]:
        x, y = load.samples(model, split)
        calibration, _ = load.samples(model, "calib")
        np.savez(folder / "samples.npz", input=x)
        np.savez(folder / "labels.npz", labels=y)
        np.savez(folder / "calibration.npz", input=calibration)
        given = ("--samples", folder / "samples.npz", "--labels", folder / "labels.npz")
        return (*given, "--calibration", folder / "calibration.npz"), y

    return write


def test_keyword_spotting(
    data: Path,
    files: Callable[..., Any],
    run_cli: Callable[..., Any],
) -> None:
    """DS-CNN of MLPerf Tiny, compared on all samples; the chips without room for its stem say so in the table."""
    options, labels = files("kws_ref_model.onnx", "all")
    chips = ("esp32p4", "onnx-qdq", "akida1", "akida2")
    targets = [argument for chip in chips for argument in ("--target", chip)]
    model = data / "models" / "kws_ref_model.onnx"
    document = run_cli("compare", model, *targets, *options, "--json").json
    assert document["samples"] == len(labels) == 500
    assert document["float_accuracy"] == pytest.approx(0.904)
    rows = {row["target"]: row for row in document["rows"]}
    for chip in ("esp32p4", "onnx-qdq"):
        assert rows[chip]["error"] is None
        assert rows[chip]["accuracy"] >= 0.904 - 0.01, chip
    for chip in ("akida1", "akida2"):
        error = rows[chip]["error"]
        assert error["code"] == "QT310"
        assert any("(Conv): " in line and "10x4" in line for line in error["details"]), error
    shown = run_cli("compare", model, *targets, *options)
    assert all(re.search(rf"^{chip} +90.40% +refused ", shown.out, re.MULTILINE) for chip in ("akida1", "akida2"))
    assert "10x4" in shown.out


def test_keyword_spotting_step_by_step(
    data: Path, files: Callable[..., Any], run_cli: Callable[..., Any], tmp_path: Path
) -> None:
    """The same numbers from quantize and run, which a user's own script would put together."""
    options, labels = files("kws_ref_model.onnx", "all")
    _, samples, _, _, _, calibration = options
    model = data / "models" / "kws_ref_model.onnx"
    run_cli("quantize", model, "--target", "esp32p4", "--samples", calibration, "--output", tmp_path / "out")
    saved = tmp_path / "out" / "kws_ref_model.esp32p4.onnx"
    run_cli("run", saved, "--samples", samples, "--output", tmp_path / "result.npz")
    (scores,) = np.load(tmp_path / "result.npz").values()
    stepwise = float((scores.argmax(axis=1) == labels).mean())
    assert stepwise >= 0.904 - 0.01
    compared = run_cli("compare", model, "--target", "esp32p4", *options, "--json").json
    assert compared["rows"][0]["accuracy"] == pytest.approx(stepwise)


def test_residual_network_on_photographs(data: Path, files: Callable[..., Any], run_cli: Callable[..., Any]) -> None:
    """ResNet-8 on CIFAR-10: calibrated on training images, measured on test images."""
    options, labels = files("resnet8_cifar10.onnx", "eval")
    chips = ("esp32p4", "onnx-qdq", "akida2")
    targets = [argument for chip in chips for argument in ("--target", chip)]
    document = run_cli("compare", data / "models" / "resnet8_cifar10.onnx", *targets, *options, "--json").json
    assert document["samples"] == len(labels)
    assert document["float_accuracy"] > 0.85
    for row in document["rows"]:
        assert row["error"] is None, row["error"]
        assert row["accuracy"] >= document["float_accuracy"] - 0.015, f"{row['target']}: {row['accuracy']}"
