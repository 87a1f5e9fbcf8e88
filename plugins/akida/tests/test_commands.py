"""``quaint akida``: QuantizeML's spellings, which nothing else accepts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from akida_nets import SAME, chain, dense
from click.testing import CliRunner

from quaint.cli.group import quaint
from quaint.saved import load_quantized
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


def run(*args: object, code: int = 0) -> Result:
    done = CliRunner().invoke(quaint, [str(arg) for arg in args], env={"COLUMNS": "120"})
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float model, samples and a quantized model."""
    path = tmp_path_factory.mktemp("commands")
    net = Builder("net")
    x = net.conv(chain(net, net.input(3, 8, 8), 3), (8, 8), pads=SAME)
    x = net.op("GlobalAveragePool", net.op("Relu", net.conv(x, (8, 8), pads=SAME)))
    (path / "net.onnx").write_bytes(net.build(dense(net, x, 8)).SerializeToString())
    np.savez(path / "samples.npz", input=net.samples(40)["input"])
    run("akida", "quantize", "-m", path / "net.onnx", "-sa", path / "samples.npz")
    return path


def made(folder: Path, *args: object) -> Any:
    """The configuration of what the old command line makes."""
    run("akida", "quantize", "-m", folder / "net.onnx", "-s", folder / "made.onnx", "--force", *args)
    return load_quantized(folder / "made" / "net.akida2.onnx")


def test_the_widths_and_the_samples(folder: Path) -> None:
    widths = ("-i", 16, "-w", 4, "-a", 6, "-o", 12, "-b", 24, "-lob", 16, "--per_tensor_activations", "-id", "uint8")
    model = made(folder, *widths, "-sa", folder / "samples.npz", "-bs", 8, "-e", 2, "-ns", 3)
    given = model.config.to_dict()
    wanted = {
        "input_weight_bits": 16,
        "weight_bits": 4,
        "activation_bits": 6,
        "output_bits": 12,
        "buffer_bits": 24,
        "last_output_bits": 16,
        "per_tensor_activations": True,
        "batch_size": 8,
        "epochs": 2,
        "input_dtype": "uint8",
        "observer": "moving-max",
        "beyond_hardware": True,
    }
    assert wanted.items() <= given.items()
    assert "num_samples" not in given
    assert model.calibration is not None
    assert model.calibration.samples == 40


def test_the_number_of_samples_is_that_of_random_ones(folder: Path) -> None:
    model = made(folder, "-ns", 40)
    assert model.calibration is not None
    assert (model.calibration.random, model.calibration.samples) == (True, 40)


def test_until_and_the_shape_of_the_input(folder: Path) -> None:
    model = made(folder, "-sa", folder / "samples.npz", "-qu", "relu1", "--input_shape", "3,8,8")
    assert model.config.until == "relu1"
    assert model.integer.shapes["input"] == (None, 3, 8, 8)


def test_akida1_is_a_target_too(folder: Path) -> None:
    args = ("akida", "quantize", "-m", folder / "net.onnx", "-sa", folder / "samples.npz", "-s", folder / "one")
    refused = run(*args, "--target", "akida1", code=5).output
    assert "conv1 (Conv): two convolutions in a row without ReLU between" in refused
    run(*args, "--target", "akida1", "-qu", "relu0")
    assert load_quantized(folder / "one" / "net.akida1.onnx").config.observer == "moving-max"


def test_the_configuration_goes_out_and_in(folder: Path) -> None:
    quantized = folder / "net_quantized" / "net.akida2.onnx"
    run("akida", "config", "-m", quantized)
    dump = quantized.with_name("net.akida2_quant_config.json")
    entries = json.loads(dump.read_text())
    assert list(entries) == ["conv0", "relu0", "conv1", "conv2", "relu1", "globalaveragepool0", "gemm0"]
    assert entries["relu1"] == {"buffer_bitwidth": 32}
    entries["conv1"]["output_quantizer"]["bitwidth"] = 10
    dump.write_text(json.dumps(entries))
    model = made(folder, "-sa", folder / "samples.npz", "-c", dump)
    assert str(model.integer.tensors["conv1"].dtype) == "int10"


def test_rescaling(folder: Path) -> None:
    run(
        "akida", "insert_rescaling", "-m", folder / "net.onnx", "-d", folder / "out.onnx", "-s", 0.5, "-o", 1, "--force"
    )
    assert [node.op_type for node in onnx.load(folder / "out.onnx").graph.node][:2] == ["Mul", "Add"]


def test_analysis(folder: Path) -> None:
    quantized = folder / "net_quantized" / "net.akida2.onnx"
    pair = ("-m", quantized, "-fm", folder / "net.onnx")
    command = ("akida", "analysis", "quantization_error")
    for mode in ("single", "cumulative"):
        document = json.loads(run(*command, mode, *pair, "-bs", 4, "--json").stdout)
        assert (document["mode"], document["samples"]) == (mode, 4)
    channels = json.loads(run(*command, "single", *pair, "-tl", "conv1", "-bs", 4, "--json").stdout)["layers"]
    assert [row["channel"] for row in channels] == list(range(8))
    assert "layers" in json.loads(run(*command, "weight", *pair, "--json").stdout)
    run("akida", "analysis", "kernel_distribution", "-m", folder / "net.onnx", "-l", folder / "logs")
    assert list((folder / "logs").iterdir())


def test_the_list_of_layers(folder: Path) -> None:
    listed = json.loads(run("akida", "summary", folder / "net_quantized" / "net.akida2.onnx", "--json").stdout)[
        "layers"
    ]
    assert [row["name"] for row in listed][:3] == ["input_quantizer", "conv0", "relu0"]
    assert listed[0]["output"].startswith("8 bits unsigned, scale [")
    assert [row["parameters"] for row in listed[1:3]] == [3 * 3 * 3 * 8 + 8, 2 * 8]
    assert "Dequantizer" in run("akida", "summary", folder / "net_quantized" / "net.akida2.onnx").stdout


def test_nothing_else_accepts_these_spellings(folder: Path) -> None:
    args = ("quantize", folder / "net.onnx", "--target", "akida2")
    for spelling in ("-sa", "-ns", "-lob", "-id", "--weight_bits"):
        run(*args, spelling, "4", code=2)
