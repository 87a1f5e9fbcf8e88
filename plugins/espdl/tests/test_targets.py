from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import pytest
from espdl_proof import DATA, DIGITS, TARGETS, prove, quantized

from quaint.errors import QuaintError
from quaint.numerics import IntType, Rounding, ScaleKind
from quaint.pipeline import find_target
from quaint.saved import load_quantized
from quaint.testing.checks import check_same_model
from quaint_espdl.names import SUMMARIES
from quaint_espdl.targets import TARGETS as EVERY

if TYPE_CHECKING:
    from pathlib import Path

    from quaint.quantized import Quantized

both = pytest.mark.parametrize("target", sorted(TARGETS))
PLAIN = ("s2", "c2", "c3", "c5", "c6")
needs_data = pytest.mark.skipif(not (DATA / "samples").exists(), reason="no samples: set QUAINT_TEST_DATA")


def digits(name: str) -> Any:
    return np.load(DIGITS / f"{name}.npz")


def accuracy(outputs: dict[str, Any], labels: Any) -> float:
    (scores,) = outputs.values()
    return float((scores.reshape(len(labels), -1).argmax(1) == labels).mean())


def float_accuracy(model: ir.Model, x: Any, labels: Any) -> float:
    from quaint.floatmodel import FloatModel

    return accuracy(FloatModel(model).run({model.graph.inputs[0].name or "": x}), labels)


@both
def test_number_formats(target: str) -> None:
    chip = TARGETS[target]
    assert chip.activation.scale is chip.weight.scale is ScaleKind.POWER_OF_TWO
    assert chip.activation.symmetric
    assert chip.activation.dtype == chip.weight.dtype == IntType.parse("int8")
    expected = {
        "esp32p4": (0, "int32", Rounding.HALF_EVEN),
        "esp32s3": (None, "int20", Rounding.HALF_UP),
        "esp32": (None, "int32", Rounding.HALF_UP),
    }[target]
    assert (chip.weight.axis, str(chip.bias[8]), chip.rounding) == expected
    assert str(chip.bias[16]) == ("int64" if target == "esp32" else "int40")


def test_every_chip_has_a_name_a_summary_and_the_arithmetic_of_its_like() -> None:
    assert list(SUMMARIES) == ["esp32p4", "esp32s31", "esp32s3", "esp32", *(f"esp32{c}" for c in PLAIN)]
    for name, chip in EVERY.items():
        like = EVERY["esp32" if name.removeprefix("esp32") in PLAIN else name.replace("s31", "p4")]
        assert (chip.name, chip.summary) == (name, SUMMARIES[name])
        assert (chip.bias, chip.rounding, chip.limits, chip.weight) == (
            like.bias,
            like.rounding,
            like.limits,
            like.weight,
        )


@pytest.mark.parametrize("name", ["ESP32-P4", "esp32_p4", "ESP32P4", "Esp32-P4"])
def test_other_ways_to_write_a_name(name: str) -> None:
    assert find_target(name) is EVERY["esp32p4"]


@pytest.mark.parametrize("name", ["esp32p5", "ESP32-P5", "esp32 p4", "esp32p4x", "p4"])
def test_no_name_is_guessed(name: str) -> None:
    with pytest.raises(QuaintError, match=r"QT300.*esp32p4"):
        find_target(name)


def test_weights_of_the_plain_chips_are_not_interleaved() -> None:
    model, samples = ir.load(DIGITS / "digits.onnx"), {"input": digits("calibration")["input"]}
    file = prove(quantized(model, "esp32", samples, layers={"conv2": {"bits": 16}}))
    layouts = {tensor.name: tensor.layout for tensor in file.graph.initializers if tensor.name.endswith(".weight")}
    assert layouts["conv1.weight"] == layouts["conv2.weight"] == layouts["dense.weight"] == "NHWC"
    assert layouts["depthwise3.weight"] == "HWCN"
    biases = {tensor.name: tensor.dtype.name for tensor in file.graph.initializers if tensor.name.endswith(".bias")}
    assert (biases["conv1.bias"], biases["conv2.bias"]) == ("INT32", "INT64")


@pytest.mark.parametrize("name", ["esp32p4", "esp32c3"])
def test_a_file_can_be_read_saved_and_restored_but_not_written_again(name: str, tmp_path: Path) -> None:
    model, samples = ir.load(DIGITS / "digits.onnx"), {"input": digits("calibration")["input"]}
    exported = tmp_path / f"digits.{name}.espdl"
    exported.write_bytes(quantized(model, name, samples).files("digits")[exported.name])
    read = load_quantized(exported)
    assert read.target.name == name
    read.save(str(tmp_path / "saved.onnx"))
    restored = load_quantized(tmp_path / "saved.onnx")
    assert restored.target is EVERY[name]
    check_same_model(restored.integer, read.integer)
    with pytest.raises(QuaintError, match=r"QT351.*was read from an .espdl file"):
        restored.files("again")


@both
@pytest.mark.parametrize("name", ["digits", "digits-residual"])
def test_digits_keep_their_accuracy(name: str, target: str) -> None:
    model = ir.load(DIGITS / f"{name}.onnx")
    result = quantized(model, target, {"input": digits("calibration")["input"]})
    x, labels = digits("test")["input"], digits("labels")["labels"]
    assert accuracy(result.run(x), labels) >= float_accuracy(model, x, labels) - 0.01


def same_in_both_simulators(result: Quantized, x: Any) -> None:
    model = result.integer
    names = [layer.outputs[0] for layer in model.integer_layers]
    reference, fast = (result.run(x, simulator=name, outputs=names) for name in ("reference", "onnxruntime"))
    for name in names:
        np.testing.assert_array_equal(reference[name], fast[name], err_msg=name)


@both
@pytest.mark.parametrize("layers", [{"conv2": {"bits": 16}}, {"*": {"bits": 16}, "conv2": {"bits": 8}}])
def test_mixed_width_is_exact_and_no_worse(layers: dict[str, Any], target: str) -> None:
    model, samples = ir.load(DIGITS / "digits.onnx"), {"input": digits("calibration")["input"]}
    mixed = quantized(model, target, samples, layers=layers)
    assert {params.dtype.bits for params in mixed.integer.tensors.values()} >= {8, 16}
    same_in_both_simulators(mixed, digits("test")["input"][:64])
    file = prove(mixed)
    assert {node.attributes["quant_type"] for node in file.graph.nodes} == {"S8", "S16"}
    x, labels = digits("test")["input"], digits("labels")["labels"]
    assert accuracy(mixed.run(x), labels) >= float_accuracy(model, x, labels) - 0.01


@both
def test_16_bits_everywhere_are_nearly_float(target: str) -> None:
    model = ir.load(DIGITS / "digits.onnx")
    result = quantized(model, target, {"input": digits("calibration")["input"]}, weight_bits=16, activation_bits=16)
    x = digits("test")["input"]
    (real,) = result.run(x).values()
    from quaint.floatmodel import FloatModel

    (expected,) = FloatModel(model).run({"input": x}).values()
    np.testing.assert_allclose(real, expected, atol=2e-3 * np.abs(expected).max())
    same_in_both_simulators(result, x[:32])


def labelled(model: str, split: str) -> tuple[Any, Any]:
    spec = importlib.util.spec_from_file_location("load", DATA / "load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    x, labels = module.samples(model, split)
    return x, labels


@needs_data
@pytest.mark.parametrize(
    ("name", "target", "points"),
    [
        ("kws_ref_model", "esp32p4", 0.01),
        ("kws_ref_model", "esp32s3", 0.01),
        ("resnet8_cifar10", "esp32p4", 0.015),
        ("resnet8_cifar10", "esp32s3", 0.015),
    ],
)
def test_real_models_keep_their_accuracy(name: str, target: str, points: float) -> None:
    model = ir.load(DATA / f"models/{name}.onnx")
    calibration, _ = labelled(f"{name}.onnx", "calib")
    x, labels = labelled(f"{name}.onnx", "eval")
    result = quantized(model, target, {"input": calibration})
    assert accuracy(result.run(x), labels) >= float_accuracy(model, x, labels) - points
