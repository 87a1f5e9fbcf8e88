"""``quaint search``; the demo chip has weights of 4 and 8 bits and activations of 8, so only its refusal is its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

TWO_WIDTHS = """
from dataclasses import replace
from quaint_demo_parts import DEMO8
from quaint.numerics import IntType

INT4 = IntType(4, signed=True)
DEMO4 = replace(
    DEMO8, name="demo4", activation=replace(DEMO8.activation, dtype=INT4), weight=replace(DEMO8.weight, dtype=INT4),
    activation_bits=(4, 8), exporter=None,
)
"""
PLUGIN = """
from quaint.component import Lazy
from quaint.hookspecs import impl


@impl
def quaint_targets():
    yield Lazy("demo4", "quaint_demo4_parts:DEMO4", "demo chip: 4 or 8 bits")
"""


@pytest.fixture
def demo4(plugins: Path, add_plugin: Callable[[str, str], None]) -> None:
    (plugins / "quaint_demo4_parts.py").write_text(TWO_WIDTHS)
    add_plugin("demo4", PLUGIN)


@pytest.mark.usefixtures("demo4")
def test_search(
    run: Callable[..., Result], run_json: Callable[..., dict[str, Any]], digits: Path, tmp_path: Path
) -> None:
    model, config = digits / "digits.onnx", tmp_path / "config.json"
    args = ("search", model, "--target", "demo4", "--samples", digits / "calibration.npz", "--budget", "layers=1")
    result = run(*args, "--output", config)
    assert "layers of 8 bits on demo4" in result.stdout
    ((name, wish),) = json.loads(config.read_text())["config"]["layers"].items()
    assert wish == {"bits": 8}
    assert name in result.stdout
    document = run_json(*args)
    assert [trial["layers"] for trial in document["curve"]] == [[], [name]]
    assert (document["met"], document["bits"]) == (True, 8)
    quantized = run_json(
        "quantize", model, "--target", "demo4", "--samples", digits / "calibration.npz", "--config", config
    )
    assert {layer["name"]: layer["bits"] for layer in quantized["layers"]}[name] in {"8/8", "8"}
    assert "error[QI600]" in run(*args, "--output", config, code=8).stderr


@pytest.mark.usefixtures("demo4")
def test_a_budget_that_is_not_met(run: Callable[..., Result], digits: Path) -> None:
    args = ("search", digits / "digits.onnx", "--target", "demo4", "--samples", digits / "calibration.npz")
    result = run(*args, "--budget", "nsr=1e-9", "--budget", "layers=1", code=6)
    assert result.stderr.startswith("error[QV430]: the budget is not met with 1 layers of 8 bits")
    assert "noise at the outputs" in result.stdout


def test_refusals(run: Callable[..., Result], digits: Path) -> None:
    args = ("search", digits / "digits.onnx", "--target", "demo8", "--samples", digits / "calibration.npz")
    assert "error[QT340]" in run(*args, code=2).stderr
    assert "error[QU109]" in run(*args, "--budget", "bits=3", code=2).stderr
