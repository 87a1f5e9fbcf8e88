"""``quaint quantize``: what it writes, says and refuses."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quaint.report.build import LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result

FILES = ["digits.demo8.onnx", "digits.sizes", "manifest.json", "report.html", "report.json"]


def test_a_table_and_nothing_written(run: Callable[..., Result], digits: Path, tmp_path: Path) -> None:
    result = run("quantize", digits / "digits.onnx", "--target", "DEMO_8", "--samples", digits / "calibration.npz")
    assert "digits on demo8" in result.stdout
    assert "global_average_pool" in result.stdout
    assert "120,960 MACs" in result.stdout
    assert result.stderr == ""
    assert not list(tmp_path.glob("*.onnx"))


def test_json(run_json: Callable[..., dict[str, Any]], digits: Path, tmp_path: Path) -> None:
    args = ("--samples", digits / "calibration.npz", "--output", tmp_path / "out", "-w", "4")
    document = run_json("quantize", digits / "digits.onnx", "--target", "demo8", *args)
    assert document["target"] == "demo8"
    assert sorted(Path(file).name for file in document["files"]) == FILES
    assert document["layers"][0]["name"] == "conv1"
    assert document["layers"][0]["bits"] == "4/8"
    assert document["unsupported"] == []
    assert {"load", "calibrate", "lower", "export"} <= set(document["seconds"])
    assert document["layers"][0]["noise"] > 0
    assert document["peak_memory_bytes"] > 1 << 20
    assert document["warnings"] == []
    assert document["config"] == {"weight_bits": 4}


def test_no_analysis(
    run_json: Callable[..., dict[str, Any]], run: Callable[..., Result], digits: Path, tmp_path: Path
) -> None:
    args = ("quantize", digits / "digits.onnx", "--target", "demo8", "--samples", digits / "calibration.npz")
    measured, document = run_json(*args), run_json(*args, "--no-analysis", "--output", tmp_path / "out")
    assert "analyze" in measured["seconds"]
    assert document["agreement"] is None
    assert document["outputs"] == {}
    for with_error, without in zip(measured["layers"], document["layers"], strict=True):
        assert without == with_error | {"noise": None, "saturated": None}
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == FILES
    assert "noise at" not in run(*args, "--no-analysis").stdout


def test_the_folder_holds_what_the_manifest_says(run: Callable[..., Result], digits: Path, tmp_path: Path) -> None:
    out, model = tmp_path / "out", digits / "digits.onnx"
    run("quantize", model, "--target", "demo8", "--samples", digits / "calibration.npz", "--output", out)
    assert sorted(file.name for file in out.iterdir()) == FILES
    manifest = json.loads((out / "manifest.json").read_text())
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert set(manifest["files"]) == set(FILES) - {"manifest.json"}
    assert manifest["model"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert manifest["plugin"] == {"name": "demo", "distribution": "quaint-demo", "version": "1.0"}
    assert set(manifest["libraries"]) == set(LIBRARIES)
    assert manifest["samples"]["samples"] == 256
    assert manifest["tensors"]["logits_int"]["dtype"] == "int8"


def test_the_same_bytes_for_the_same_inputs(plugins: Path, digits: Path, tmp_path: Path) -> None:
    assert plugins.is_dir()
    for seed in ("1", "2"):
        args = ["quantize", str(digits / "digits-residual.onnx"), "--target", "demo8", "--num-samples", "40"]
        command = [sys.executable, "-m", "quaint", *args, "--output", str(tmp_path / seed)]
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith("warning: no samples were given")
        assert "wrote" in done.stdout
    one, other = ({file.name: file.read_bytes() for file in (tmp_path / seed).iterdir()} for seed in ("1", "2"))
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []


def test_an_existing_output_is_refused_and_kept(run: Callable[..., Result], digits: Path, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("mine")
    args = ("quantize", digits / "digits.onnx", "--target", "demo8", "--output", tmp_path)
    assert "error[QI600]" in run(*args, code=8).stderr
    assert (tmp_path / "report.json").read_text() == "mine"
    run(*args, "--force", "--num-samples", "40")
    assert json.loads((tmp_path / "report.json").read_text())["target"] == "demo8"


def test_the_output_is_checked_before_the_model_is_read(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert (
        "error[QI602]" in run("quantize", "m.onnx", "--target", "demo8", "--output", tmp_path / "file", code=8).stderr
    )


def test_the_output_is_no_input(run: Callable[..., Result], digits: Path, tmp_path: Path) -> None:
    model = tmp_path / "digits.demo8.onnx"
    model.write_bytes((digits / "digits.onnx").read_bytes())
    before = model.read_bytes()
    model = model.rename(tmp_path / "digits.onnx")
    (tmp_path / "digits.demo8.onnx").hardlink_to(model)
    args = ("quantize", model, "--target", "demo8", "--output", tmp_path, "--force")
    assert "error[QI601]" in run(*args, code=8).stderr
    assert model.read_bytes() == before


@pytest.mark.parametrize(
    ("args", "code", "status"),
    [
        (["-w", "3"], "QT340", 2),
        (["-a", "16"], "QT340", 2),
        (["--set", "layers.conv1.bits=4"], "QT340", 2),
        (["--input-dtype", "uint8"], "QT340", 2),
        (["--observer", "minmix"], "QU103", 2),
        (["--quantizer", "rages"], "QU104", 2),
        (["--equalize", "--quantizer", "ranges"], "QU106", 2),
        (["--shape", "input"], "QU107", 2),
        (["--set", "weight_bit=8"], "QP510", 2),
        (["--set", "weight_bits"], "QU102", 2),
        (["--num-samples", "0"], "QU101", 2),
        (["--config", "nowhere.json"], "QI604", 8),
    ],
)
def test_wishes_are_checked_before_the_model_is_read(
    run: Callable[..., Result], args: list[str], code: str, status: int
) -> None:
    result = run("quantize", "nowhere.onnx", "--target", "demo8", *args, code=status)
    assert result.stderr.startswith(f"error[{code}]")


def test_what_the_chip_lacks(run_json: Callable[..., dict[str, Any]], run: Callable[..., Result], digits: Path) -> None:
    args = ("quantize", digits / "digits.onnx", "--target", "demo-strict")
    result = run(*args, code=5)
    assert "  pool1 (MaxPool): " in result.stderr
    assert run_json(*args, code=5)["error"]["details"][1].startswith("gap (GlobalAveragePool): ")


@pytest.mark.parametrize(
    ("model", "samples", "code", "status"),
    [("nowhere.onnx", None, "QM101", 3), ("digits.onnx", "nowhere.npz", "QC200", 4), ("labels.npz", None, "QM103", 3)],
)
def test_files_that_are_not_there(
    run: Callable[..., Result], digits: Path, model: str, samples: str | None, code: str, status: int
) -> None:
    given = [] if samples is None else ["--samples", digits / samples]
    assert f"error[{code}]" in run("quantize", digits / model, "--target", "demo8", *given, code=status).stderr


def test_precedence_flags_over_set_over_file(
    run_json: Callable[..., dict[str, Any]], digits: Path, tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('num_samples = 10\nbatch_size = 5\nseed = 3\n[layers."conv*"]\nweight_bits = 4\n')
    args = ("--config", config, "--set", "batch_size=6", "--set", "seed=4", "--seed", "5", "--shape", "input=N,1,8,8")
    document = run_json("quantize", digits / "digits.onnx", "--target", "demo8", *args)
    assert document["config"] == {
        "num_samples": 10,
        "batch_size": 6,
        "seed": 5,
        "shapes": {"input": [-1, 1, 8, 8]},
        "layers": {"conv*": {"weight_bits": 4}},
    }
    assert [layer["bits"] for layer in document["layers"]][:3] == ["4/8", "8", "4/8"]


def test_until_leaves_the_rest_to_the_host(run_json: Callable[..., dict[str, Any]], digits: Path) -> None:
    document = run_json("quantize", digits / "digits.onnx", "--target", "demo8", "--until", "relu3")
    assert [layer["name"] for layer in document["layers"]][-1] == "pointwise3"


def test_layout(
    run_json: Callable[..., dict[str, Any]], run: Callable[..., Result], digits: Path, tmp_path: Path
) -> None:
    x = np.load(digits / "calibration.npz")["input"][:40]
    np.save(tmp_path / "x.npy", x.transpose(0, 2, 3, 1))
    args = ("quantize", digits / "digits.onnx", "--target", "demo8", "--samples", tmp_path / "x.npy")
    assert "use --layout nhwc" in run(*args, code=4).stderr
    assert run_json(*args, "--layout", "nhwc")["samples"]["samples"] == 40


def test_few_samples_are_warned_of(run_json: Callable[..., dict[str, Any]], digits: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.load(digits / "calibration.npz")["input"][:4])
    document = run_json("quantize", digits / "digits.onnx", "--target", "demo8", "--samples", tmp_path / "x.npy")
    assert [warning[:5] for warning in document["warnings"]] == ["QC202"]


HOSTILE = "a\x1b[31m\x9b</code><script>alert(1)</script>[red]b\nc"


def hostile_model(path: Path) -> None:
    """A convolution whose names hold markup, colours and line breaks."""
    weight = np.ones((2, 1, 1, 1), np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], name=HOSTILE)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", c, 4, 4]) for n, c in (("x", 1), ("y", 2))]
    graph = helper.make_graph([node], HOSTILE, ends[:1], ends[1:], [numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def test_names_from_the_file_reach_neither_terminal_nor_page_as_they_are(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    hostile_model(tmp_path / "m.onnx")
    for extra in ([], ["--json"]):
        args = ("quantize", tmp_path / "m.onnx", "--target", "demo8", "--output", tmp_path / "out", "--force", *extra)
        result = run(*args)
        assert all(c.isprintable() or c == "\n" for c in result.stdout + result.stderr)
        assert "[red]b" in result.stdout
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
