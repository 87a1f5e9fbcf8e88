"""Wishes: part of the network on the chip, other widths for single layers, integers at the entrance, no samples at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

import quaint
from quaint.floatmodel import FloatModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from quaint.quantized import Quantized


def noise(quantized: Quantized, x: NDArray[Any] | dict[str, NDArray[Any]]) -> float:
    """Noise-to-signal power over the outputs, against the float model."""
    source = quantized.source
    assert source is not None
    feeds = x if isinstance(x, dict) else {quantized.integer.inputs[0]: x}
    real, mine = FloatModel(source).run(feeds), quantized.run(feeds)
    power = sum(float(np.square(values).sum()) for values in real.values())
    return sum(float(np.square(mine[name] - real[name]).sum()) for name in real) / power


def ops(quantized: Quantized) -> list[str]:
    return [layer.op for layer in quantized.integer.layers]


@pytest.mark.parametrize("chip", ["esp32p4", "akida2"])
@pytest.mark.parametrize(
    ("options", "on_host"),
    [
        (("--until", "relu2"), {"depthwise3", "pointwise3", "gap", "dense"}),
        (("--from", "conv2"), {"conv1", "relu1", "pool1"}),
        (("--from", "conv2", "--until", "relu3"), {"conv1", "gap", "dense"}),
    ],
    ids=["until", "from", "both"],
)
def test_part_of_the_network(
    chip: str,
    options: tuple[str, ...],
    on_host: set[str],
    run_cli: Callable[..., Any],
    digits: Path,
    digits_arrays: dict[str, Any],
    tmp_path: Path,
) -> None:
    """The rest runs in float on the host, before the chip and after it."""
    samples = ("--samples", digits / "calibration.npz")
    out = tmp_path / "out"
    run_cli("quantize", digits / "digits.onnx", "--target", chip, *samples, *options, "--output", out)
    quantized = quaint.load(out / f"digits.{chip}.onnx")
    on_chip = {node for layer in quantized.integer.integer_layers for node in layer.nodes}
    assert on_chip
    assert not on_chip & on_host
    assert {"conv2", "relu2"} <= on_chip
    test = digits_arrays["test"]
    real = FloatModel(quaint.load(digits / "digits.onnx")).run({"input": test})["logits"]
    mine = quantized.run(test)["logits"]
    assert np.square(mine - real).sum() < 0.01 * np.square(real).sum()
    entering, leaving = quantized.integer.integer_inputs, quantized.integer.integer_outputs
    integers = quantized.run(test, outputs=[*entering, *leaving])
    assert all(values.dtype.kind in "iu" for values in integers.values())
    alone = quantized.run({name: integers[name] for name in entering}, integers=True)
    for name, values in zip(leaving, alone.values(), strict=True):
        np.testing.assert_array_equal(values, integers[name])


def test_the_less_on_the_chip_the_nearer_to_float(digits: Path, digits_arrays: dict[str, Any]) -> None:
    calibration, test = digits_arrays["calibration"], digits_arrays["test"]
    parts = [quaint.Config(until="relu1"), quaint.Config(until="relu3"), quaint.Config()]
    values = [noise(quaint.quantize(digits / "digits.onnx", "akida1", calibration, part), test) for part in parts]
    assert values[0] < values[1] <= values[2] * 1.5
    assert values[0] < 0.02


def test_sixteen_bits_for_one_layer(
    run_cli: Callable[..., Any], digits: Path, digits_arrays: dict[str, Any], tmp_path: Path
) -> None:
    samples = ("--samples", digits / "calibration.npz")
    call = ("quantize", digits / "digits.onnx", "--target", "esp32p4", *samples, "--output")
    run_cli(*call, tmp_path / "plain")
    document = run_cli(*call, tmp_path / "mixed", "--set", "layers.conv2.bits=16", "--json").json
    bits = {layer["name"]: (layer["weight_bits"], layer["activation_bits"]) for layer in document["layers"]}
    assert bits["conv2"] == (16, 16)
    assert bits["conv1"] == bits["pointwise3"] == bits["dense"] == (8, 8)
    mixed = quaint.load(tmp_path / "mixed" / "digits.esp32p4.onnx")
    test = digits_arrays["test"][:64]
    names = [name for layer in mixed.integer.integer_layers for name in layer.outputs]
    fast, by_definition = (mixed.run(test, simulator=s, outputs=names) for s in ("onnxruntime", "reference"))
    for name in names:
        np.testing.assert_array_equal(fast[name], by_definition[name], err_msg=name)
    assert fast["relu2/output"].dtype == np.int16
    assert np.abs(fast["relu2/output"]).max() > 127
    run_cli(*call, tmp_path / "wide", "-w", 16, "-a", 16)
    plain, wide = (quaint.load(tmp_path / run / "digits.esp32p4.onnx") for run in ("plain", "wide"))
    errors = [_error(q, test, "relu2/output", digits) for q in (plain, mixed, wide)]
    assert errors[1] < errors[0]
    assert errors[2] < errors[0] / 1000


def _error(quantized: Quantized, x: NDArray[Any], name: str, digits: Path) -> float:
    real = FloatModel(quaint.load(digits / "digits.onnx"), [name]).run({"input": x})[name]
    mine = quantized.integer.tensors[name].dequantize(quantized.run(x, outputs=[name])[name])
    return float(np.square(mine - real).sum())


def test_the_dumped_configuration_gives_the_same_program(
    run_cli: Callable[..., Any], digits: Path, tmp_path: Path
) -> None:
    """Dump, edit, quantize --config."""
    samples = ("--samples", digits / "calibration.npz")
    call = ("quantize", digits / "digits.onnx", "--target", "esp32p4", *samples)
    run_cli(*call, "--set", "layers.conv2.bits=16", "--output", tmp_path / "first")
    dumped = tmp_path / "config.json"
    run_cli("config", tmp_path / "first" / "digits.esp32p4.onnx", "--output", dumped)
    run_cli(*call, "--config", dumped, "--output", tmp_path / "second")
    first, second = ((tmp_path / run / "digits.esp32p4.espdl").read_bytes() for run in ("first", "second"))
    assert first == second
    document = json.loads(dumped.read_text())
    document["config"]["layers"]["conv2"] = {"bits": 8}
    dumped.write_text(json.dumps(document))
    said = run_cli(*call, "--config", dumped, "--json").json
    assert {layer["weight_bits"] for layer in said["layers"]} <= {8, None}


@pytest.fixture
def typed(small: ModelProto, request: pytest.FixtureRequest) -> ModelProto:
    """``small``, whose input is integers that are cast to float."""
    value = small.graph.input[0]
    value.name = "image"
    value.type.tensor_type.elem_type = request.param
    small.graph.node.insert(0, helper.make_node("Cast", ["image"], ["x"], "cast", to=TensorProto.FLOAT))
    weight = next(tensor for tensor in small.graph.initializer if tensor.name == "w1")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) / np.float32(128), "w1"))
    return small


@pytest.mark.parametrize(
    ("typed", "chip", "dtype"),
    [
        (TensorProto.INT8, "esp32p4", np.int8),
        (TensorProto.UINT8, "akida1", np.uint8),
        (TensorProto.UINT8, "akida2", np.uint8),
        (TensorProto.UINT8, "onnx-qdq", np.uint8),
    ],
    indirect=["typed"],
)
def test_integers_at_the_entrance(
    typed: ModelProto, chip: str, dtype: type, run_cli: Callable[..., Any], write: Callable[..., Path], tmp_path: Path
) -> None:
    """The chip takes them as they are; nothing quantizes them. Between its layers akida1 has but 4 bits."""
    info = np.iinfo(dtype)
    pixels = np.random.default_rng(3).integers(info.min, info.max, (40, 3, 8, 8), dtype, endpoint=True)
    model, samples = write("model.onnx", typed), write("samples.npz", {"image": pixels})
    run_cli("quantize", model, "--target", chip, "--samples", samples, "--output", tmp_path / "out")
    quantized = quaint.load(tmp_path / "out" / f"model.{chip}.onnx")
    assert quantized.integer.inputs == quantized.integer.integer_inputs == ("image",)
    assert quantized.integer.tensors["image"].dtype.storage == dtype
    source = quaint.load(model)
    real, mine = FloatModel(source).run({"image": pixels})["y"], quantized.run(pixels)["y"]
    assert np.square(mine - real).sum() < (0.1 if chip == "akida1" else 0.01) * np.square(real).sum()


def test_typed_integers_that_the_chip_does_not_take(
    refused: Callable[..., str], small: ModelProto, write: Callable[..., Path]
) -> None:
    small.graph.input[0].type.tensor_type.elem_type = TensorProto.INT16
    small.graph.input[0].name = "image"
    small.graph.node.insert(0, helper.make_node("Cast", ["image"], ["x"], "cast", to=TensorProto.FLOAT))
    model = write("model.onnx", small)
    said = refused("quantize", model, "--target", "akida2", exit_code=2, code="QT340")
    assert "int16" in said


@pytest.mark.parametrize("typed", [TensorProto.UINT8], indirect=True)
def test_real_samples_for_an_integer_input(
    typed: ModelProto, refused: Callable[..., str], write: Callable[..., Path]
) -> None:
    model, samples = write("model.onnx", typed), write("real.npz", {"image": np.ones((40, 3, 8, 8), np.float32)})
    said = refused("quantize", model, "--target", "akida2", "--samples", samples, exit_code=4, code="QC213")
    assert "got float32, and the model takes uint8" in said


def two_inputs() -> ModelProto:
    """Two images, a convolution each, added."""
    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array(rng.normal(0, 0.3, (16, 3, 3, 3)).astype(np.float32), f"w{i}") for i in (0, 1)]
    nodes = [
        helper.make_node("Conv", ["left", "w0"], ["a"], "conv_left", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["right", "w1"], ["b"], "conv_right", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["a", "b"], ["c"], "add"),
        helper.make_node("Relu", ["c"], ["y"], "relu"),
    ]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3, 8, 8]) for n in ("left", "right")]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 16, 8, 8])]
    graph = helper.make_graph(nodes, "two", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("chip", ["esp32p4", "esp32s3", "onnx-qdq"])
def test_two_inputs(
    chip: str, run_cli: Callable[..., Any], refused: Callable[..., str], write: Callable[..., Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    feeds = {"left": rng.normal(0, 1, (40, 3, 8, 8)), "right": rng.normal(0, 4, (40, 3, 8, 8))}
    feeds = {name: values.astype(np.float32) for name, values in feeds.items()}
    model, samples = write("two.onnx", two_inputs()), write("samples.npz", feeds)
    run_cli("quantize", model, "--target", chip, "--samples", samples, "--output", tmp_path / "out")
    saved = tmp_path / "out" / f"two.{chip}.onnx"
    run_cli("run", saved, "--samples", samples, "--output", tmp_path / "y.npz")
    real = FloatModel(quaint.load(model)).run(feeds)["y"]
    mine = np.load(tmp_path / "y.npz")["y"]
    assert np.square(mine - real).sum() < 0.01 * np.square(real).sum()
    swapped = write("swapped.npz", {"right": feeds["right"], "left": feeds["left"]})
    run_cli("run", saved, "--samples", swapped, "--output", tmp_path / "again.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "again.npz")["y"], mine)
    one = write("one.npz", {"left": feeds["left"]})
    said = refused("run", saved, "--samples", one, exit_code=4, code="QC212")
    assert "missing right" in said


def test_fixed_batch(
    target: str, small: ModelProto, images: NDArray[np.float32], write: Callable[..., Path], run_cli: Callable[..., Any]
) -> None:
    """A model of batch 1 or 4 gives what it gives with an open batch; samples of any number go through it."""
    results = []
    for batch in (0, 1, 4):
        for value in (*small.graph.input, *small.graph.output):
            first = value.type.tensor_type.shape.dim[0]
            first.Clear()
            if batch:
                first.dim_value = batch
            else:
                first.dim_param = "N"
        model, samples = write(f"batch{batch}.onnx", small), write("samples.npz", {"x": images})
        run_cli("quantize", model, "--target", target, "--samples", samples, "--output", model.parent / f"out{batch}")
        saved = model.parent / f"out{batch}" / f"batch{batch}.{target}.onnx"
        out = model.parent / f"y{batch}.npz"
        run_cli("run", saved, "--samples", samples, "--output", out)
        results.append(np.load(out)["y"])
    assert results[0].shape == (40, 2)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_without_samples(run_cli: Callable[..., Any], digits: Path, tmp_path: Path) -> None:
    """Random ones serve, and every document says so."""
    said = run_cli("quantize", digits / "digits.onnx", "--target", "esp32p4", "--output", tmp_path / "out")
    warning = next(line for line in said.err.splitlines() if "no samples were given" in line)
    assert warning.startswith("warning: ")
    assert "--samples" in warning
    manifest, report = (json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in ("manifest", "report"))
    assert manifest["samples"]["random"] is True
    assert manifest["samples"]["samples"] == 1024
    assert any("no samples were given" in line for line in manifest["warnings"])
    assert any("no samples were given" in line for line in report["warnings"])
    assert "no samples were given" in (tmp_path / "out" / "report.html").read_text()
    assert quaint.load(tmp_path / "out" / "digits.esp32p4.onnx").calibration.random


def test_a_loud_warning_for_few_samples(run_cli: Callable[..., Any], digits: Path, write: Callable[..., Path]) -> None:
    few = write("few.npz", {"input": np.ones((3, 1, 8, 8), np.float32)})
    said = run_cli("quantize", digits / "digits.onnx", "--target", "esp32p4", "--samples", few)
    assert "QC202" in said.err
    assert "QC206" in said.err
