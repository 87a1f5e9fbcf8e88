from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import pytest
from espdl_proof import DATA, DIGITS, TARGETS, prove, quantized

from quaint.numerics import IntType, Rounding, ScaleKind

if TYPE_CHECKING:
    from quaint.quantized import Quantized

both = pytest.mark.parametrize("target", sorted(TARGETS))
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
    }[target]
    assert (chip.weight.axis, str(chip.bias[8]), chip.rounding) == expected
    assert str(chip.bias[16]) == "int40"


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
