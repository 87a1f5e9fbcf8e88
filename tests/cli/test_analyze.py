"""``quaint analyze``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    Json = Callable[..., dict[str, Any]]

ERROR = ("analyze", "quantization-error")


@pytest.mark.parametrize(("flags", "mode"), [((), "single"), (("--cumulative",), "cumulative")])
def test_errors_by_layer(
    run: Callable[..., Result], run_json: Json, saved: Path, digits: Path, flags: tuple[str, ...], mode: str
) -> None:
    args = (*ERROR, digits / "digits.onnx", saved, "--samples", digits / "test.npz", *flags)
    document = run_json(*args, "--batch-size", 5)
    assert (document["mode"], document["samples"], document["warnings"]) == (mode, 5, [])
    assert [layer["layer"] for layer in document["layers"]][::7] == ["conv1", "dense"]
    assert all(0 < layer["noise"] < 0.1 for layer in document["layers"])
    assert f"{mode}, 16 samples" in run(*args).stdout


def test_sensitivity(run: Callable[..., Result], run_json: Json, saved: Path, digits: Path) -> None:
    args = (*ERROR, digits / "digits.onnx", saved, "--samples", digits / "test.npz", "--sensitivity")
    assert all(layer["agreement"] > 0.9 for layer in run_json(*args)["layers"])
    assert "noise at the outputs" in run(*args).stdout
    assert "error[QU106]" in run(*args, "--cumulative", code=2).stderr


def test_channels_of_a_layer(run: Callable[..., Result], saved: Path, digits: Path) -> None:
    args = (*ERROR, digits / "digits.onnx", saved, "--samples", digits / "test.npz", "--layer")
    assert "dense:9" in run(*args, "dense").stdout
    assert "error[QP511]" in run(*args, "dence", code=2).stderr


def test_random_samples_are_said_to_be_random(run: Callable[..., Result], saved: Path, digits: Path) -> None:
    assert "measured on random ones" in run(*ERROR, digits / "digits.onnx", saved).stderr


def test_weights(run: Callable[..., Result], run_json: Json, saved: Path, digits: Path) -> None:
    args = ("analyze", "weights", digits / "digits.onnx", saved)
    assert [layer["dead"] for layer in run_json(*args)["layers"]] == [[]] * 5
    assert "outliers" in run(*args).stdout


def test_kernel_distribution(run: Callable[..., Result], run_json: Json, digits: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="needs the extra tensorboard")
    args = ("analyze", "kernel-distribution", digits / "digits.onnx", "--logdir", tmp_path / "log")
    assert "conv2" in run(*args).stdout
    assert (tmp_path / "log" / "events.out.tfevents.quaint").stat().st_size > 1000
    assert "error[QI600]" in run(*args, code=8).stderr
    layers = run_json(*args, "--force")["layers"]
    assert layers[0]["shape"] == [16, 1, 3, 3]
    assert layers[0]["least"] < layers[0]["mean"] < layers[0]["greatest"]
