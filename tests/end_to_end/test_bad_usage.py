"""Wrong usage: told before any model is read, with what there is and the nearest to what was asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

USAGE, ENVIRONMENT = 2, 7


@pytest.fixture
def arguments(digits: Path, tmp_path: Path) -> tuple[object, ...]:
    """A sound call, but for the target."""
    samples = ("--samples", digits / "calibration.npz", "--num-samples", 8)
    return ("quantize", digits / "digits.onnx", *samples, "--output", tmp_path / "out")


@pytest.mark.parametrize("name", ["esp32p5", "ezp32p4"])
def test_unknown_target(refused: Callable[..., str], arguments: tuple[object, ...], name: str) -> None:
    said = refused(*arguments, "--target", name, exit_code=USAGE, code="QT300")
    assert repr(name) in said
    assert "did you mean 'esp32p4'" in said
    for known in ("akida1", "akida2", "esp32p4", "esp32s3", "onnx-qdq"):
        assert known in said


@pytest.mark.parametrize("name", ["ESP32-P4", "esp32_p4", "Esp32P4"])
def test_target_in_another_spelling(run_cli: Callable[..., Any], digits: Path, name: str) -> None:
    document = run_cli("check", digits / "digits.onnx", "--target", name, "--json").json
    assert document["target"] == "esp32p4"


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--smaples", "x.npz"], ["No such option", "--samples"]),
        (["--layout", "hwcn"], ["hwcn", "nhwc"]),
        (["--num-samples", "many"], ["many", "integer"]),
        (["--input-dtype", "int4"], ["int4", "uint8"]),
    ],
)
def test_misspelt_options(
    run_cli: Callable[..., Any], arguments: tuple[object, ...], option: list[str], words: list[str], tmp_path: Path
) -> None:
    said = run_cli(*arguments, "--target", "esp32p4", *option, code=USAGE)
    for word in words:
        assert word in said.err
    assert "Traceback" not in said.err
    assert not list(tmp_path.iterdir())


def test_misspelt_command(run_cli: Callable[..., Any]) -> None:
    assert "did you mean 'quantize'" in run_cli("quantise", "model.onnx", code=USAGE).err


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        (["--set", "weight_bit=8"], "QP510", ["weight_bit", "did you mean 'weight_bits'"]),
        (["--set", "weight_bits=eight"], "QP510", ["weight_bits", "int"]),
        (["--set", "layers.conv2.bit=16"], "QP510", ["conv2", "did you mean 'bits'"]),
        (["--set", "layers.conv22.bits=16"], "QP511", ["conv22", "did you mean 'conv2'"]),
        (["--set", "weight_bits"], "QU102", ["key=value"]),
        (["--until", "conv22"], "QP511", ["conv22", "did you mean 'conv2'"]),
        (["--from", "conv22"], "QP511", ["conv22", "did you mean 'conv2'"]),
        (["--observer", "minmux"], "QU103", ["did you mean 'minmax'"]),
        (["--quantizer", "equalise"], "QU104", ["did you mean 'equalize'"]),
        (["-w", "3"], "QT340", ["weight bits of 3", "8, 16"]),
        (["-a", "99"], "QT340", ["activation bits of 99", "8, 16"]),
        (["--set", "layers.conv2.bits=5"], "QT340", ["5"]),
        (["-b", "0"], "QU101", ["batch_size", "1 or more"]),
        (["--shape", "input:1"], "QU107", ["NAME="]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_configuration(
    refused: Callable[..., str], arguments: tuple[object, ...], settings: list[str], code: str, words: list[str]
) -> None:
    said = refused(*arguments, "--target", "esp32p4", *settings, exit_code=USAGE, code=code)
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("name", "text", "exit_code", "code"),
    [
        ("config.json", json.dumps({"weight_bits": 8, "obsever": "mse"}), USAGE, "QP510"),
        ("config.toml", 'weight_bits = "8"', USAGE, "QP510"),
        ("config.json", "{'weight_bits': 8}", ENVIRONMENT, "QP512"),
        ("config.toml", "[layers", ENVIRONMENT, "QP512"),
        ("config.json", "[1, 2]", ENVIRONMENT, "QP512"),
        ("config.json", "[" * 100_000, ENVIRONMENT, "QP512"),
        ("config.json", b"\xff\xfe\x00", ENVIRONMENT, "QP512"),
    ],
    ids=["key", "type", "json", "toml", "list", "deep", "bytes"],
)
def test_wrong_configuration_file(
    refused: Callable[..., str],
    arguments: tuple[object, ...],
    write: Callable[..., Path],
    name: str,
    text: str | bytes,
    exit_code: int,
    code: str,
) -> None:
    path = write(name, text.encode() if isinstance(text, str) else text)
    refused(*arguments, "--target", "esp32p4", "--config", path, exit_code=exit_code, code=code)


def test_missing_configuration_file(refused: Callable[..., str], arguments: tuple[object, ...], tmp_path: Path) -> None:
    said = refused(*arguments, "--target", "esp32p4", "--config", tmp_path / "none.json", exit_code=8, code="QI604")
    assert "none.json" in said


def test_unknown_simulator(
    run_cli: Callable[..., Any], refused: Callable[..., str], arguments: tuple[object, ...], tmp_path: Path
) -> None:
    run_cli(*arguments, "--target", "onnx-qdq")
    saved = tmp_path / "out" / "digits.onnx-qdq.onnx"
    said = refused("run", saved, "--samples", arguments[3], "--simulator", "referense", exit_code=USAGE, code="QU105")
    assert "did you mean 'reference'" in said


def test_errors_as_data(run_cli: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    """With ``--json`` the refusal is a document, also where the command line itself is wrong."""
    error = run_cli(*arguments, "--target", "esp32p5", "--json", code=USAGE).json["error"]
    assert error["code"] == "QT300"
    assert "esp32p5" in error["message"]
    assert (
        run_cli(*arguments, "--target", "esp32p4", "--smaples", "x", "--json", code=USAGE).json["error"]["code"]
        == "QU100"
    )
