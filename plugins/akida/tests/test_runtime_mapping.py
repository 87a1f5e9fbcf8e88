"""Where layers go on virtual devices, from Python and from the shell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from akida_nets import DIGITS, SAME, inner, quantize
from akida_vendor import needs_runtime, without_runtime  # noqa: F401 - a fixture
from click.testing import CliRunner

from quaint import pipeline
from quaint.cli import quaint
from quaint.errors import QuaintError
from quaint_akida.runtime_mapping import map_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits network for Akida 1."""
    path = tmp_path_factory.mktemp("saved") / "digits.onnx"
    pipeline.quantize(str(DIGITS / "digits.onnx"), "akida1", str(DIGITS / "calibration.npz")).save(str(path))
    return path


@needs_runtime
@pytest.mark.parametrize("device", ["AKD1000", "AKD1500"])
def test_digits_fits_the_first_generation(saved: Path, device: str) -> None:
    result = CliRunner().invoke(quaint, ["akida", "map", str(saved), "--device", device, "--json"])
    assert result.exit_code == 0
    found = json.loads(result.output)
    (sequence,) = found["sequences"]
    assert (found["device"], sequence["backend"], sequence["passes"]) == (device, "Hardware", 1)
    assert sequence["program_bytes"] > 0
    placed = {place["layer"]: place for place in found["places"]}
    assert placed["conv1"]["processors"] == {"HRC": 1}
    assert placed["depthwise3"]["kind"] == "SeparableConvolutional"
    assert sum(placed["conv2"]["processors"].values()) > 0


@needs_runtime
def test_shown(saved: Path) -> None:
    result = CliRunner().invoke(quaint, ["akida", "map", str(saved), "--device", "AKD1000", "--mode", "Minimal"])
    assert result.exit_code == 0
    assert "on AKD1000" in result.output
    assert "InputConvolutional" in result.output


@needs_runtime
def test_what_does_not_fit(saved: Path) -> None:
    result = CliRunner().invoke(quaint, ["akida", "map", str(saved), "--device", "SixNodesIPv2"])
    assert result.exit_code == 5
    assert "error[QT353]: does not fit SixNodesIPv2" in result.output


@needs_runtime
def test_a_part_that_ends_before_the_pooling_of_a_refused_layer_fits() -> None:
    net, x = inner(pads=SAME)
    x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    made, _, _ = quantize(net, "akida2", net.op("Relu", net.conv(x, (8, 4), pads=[4] * 4, dilations=[4, 4])))
    assert [layer.op for layer in made.integer.integer_layers] == ["conv2d", "conv2d"]
    (sequence,) = map_model(made.integer, "SixNodesIPv2").sequences
    assert sequence.backend == "Hardware"


def test_unknown_device(saved: Path) -> None:
    result = CliRunner().invoke(quaint, ["akida", "map", str(saved), "--device", "AKD1000v"])
    assert result.exit_code == 2
    assert "did you mean 'AKD1000'?" in result.output


def test_absent_package(without_runtime: None, saved: Path) -> None:  # noqa: ARG001, F811
    from quaint.saved import load_quantized

    with pytest.raises(QuaintError, match="needs BrainChip's akida package") as error:
        map_model(load_quantized(saved).integer, "AKD1000")
    assert error.value.exit_code == 7
