"""``quaint config``: what it dumps gives the same model again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.saved import load_quantized

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result


def test_every_layer_with_its_widths(run_json: Callable[..., dict[str, Any]], saved: Path) -> None:
    document = run_json("config", saved)
    assert document["target"] == "demo8"
    config = document["config"]
    assert (config["weight_bits"], config["activation_bits"], config["observer"]) == (8, 8, "minmax")
    assert config["layers"]["conv1"] == {"weight_bits": 8, "activation_bits": 8}
    assert config["layers"]["pool1"] == {"activation_bits": 8}
    assert len(config["layers"]) == 8


def test_the_dump_gives_the_same_integers(run: Callable[..., Result], digits: Path, tmp_path: Path) -> None:
    model, samples = digits / "digits-residual.onnx", digits / "calibration.npz"
    args = ("quantize", model, "--target", "demo8", "--samples", samples)
    run(*args, "--output", tmp_path / "one", "--set", "layers.block2*.weight_bits=4")
    dump = tmp_path / "config.json"
    run("config", tmp_path / "one" / "digits-residual.demo8.onnx", "--output", dump)
    assert json.loads(dump.read_text())["config"]["layers"]["block2/expand/conv"]["weight_bits"] == 4
    run(*args, "--output", tmp_path / "two", "--config", dump)
    one, two = (load_quantized(tmp_path / n / "digits-residual.demo8.onnx").integer for n in ("one", "two"))
    assert [layer.op for layer in one.layers] == [layer.op for layer in two.layers]
    for mine, theirs in zip(one.layers, two.layers, strict=True):
        for name, array in mine.constants.items():
            np.testing.assert_array_equal(array, theirs.constants[name])
    assert one.tensors == two.tensors


def test_an_existing_file_is_kept(run: Callable[..., Result], saved: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("mine")
    assert "error[QI600]" in run("config", saved, "--output", tmp_path / "config.json", code=8).stderr
    assert (tmp_path / "config.json").read_text() == "mine"
    run("config", saved, "--output", tmp_path / "config.json", "--force")
    assert json.loads((tmp_path / "config.json").read_text())["target"] == "demo8"


def test_a_form_that_the_target_lacks(run: Callable[..., Result], saved: Path) -> None:
    assert (
        "error[QU112]: demo8 has no configuration of the form 'q_config'"
        in run("config", saved, "--format", "q_config", code=2).stderr
    )
