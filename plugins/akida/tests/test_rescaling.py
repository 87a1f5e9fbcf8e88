"""Scales and offsets at the entrance cost nothing and lose nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from akida_nets import SAME, noise, run_float
from onnx import TensorProto, helper

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.integer import INPUT_QUANTIZER

Array = np.ndarray[Any, np.dtype[Any]]
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def rescaled(steps: list[tuple[str, Array]], dtype: int = TensorProto.UINT8, *, last: bool = False) -> onnx.ModelProto:
    """An image through ``steps`` (operator and constant), a padded convolution, ReLU and a convolution."""
    random = np.random.default_rng(0)
    weights = {
        "w": random.normal(size=(8, 3, 3, 3)) / 4,
        "b": random.normal(size=8) / 4,
        "w2": random.normal(size=(4, 8, 1, 1)),
        "b2": random.normal(size=4),
    } | {f"c{i}": np.asarray(constant) for i, (_, constant) in enumerate(steps)}
    nodes = [helper.make_node("Cast", ["input"], ["s0"], "cast", to=TensorProto.FLOAT)]
    nodes += [helper.make_node(op, [f"s{i}", f"c{i}"], [f"s{i + 1}"], f"step{i}") for i, (op, _) in enumerate(steps)]
    x = f"s{len(steps)}"
    if last:
        nodes.append(helper.make_node("Transpose", [x], ["turned"], "turn", perm=[0, 3, 1, 2]))
        x = "turned"
    nodes += [
        helper.make_node("Conv", [x, "w", "b"], ["a"], "conv", pads=SAME),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "w2", "b2"], ["output"], "head"),
    ]
    shape = [8, 8, 3] if last else [3, 8, 8]
    graph = helper.make_graph(
        nodes,
        "rescaled",
        [helper.make_tensor_value_info("input", dtype, ["N", *shape])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def channels(vector: Array, *, last: bool) -> Array:
    return vector if last else vector.reshape(3, 1, 1)


def images(*, last: bool) -> Array:
    shape = (32, 8, 8, 3) if last else (32, 3, 8, 8)
    return np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("target", ["akida1", "akida2"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    "steps",
    [
        [("Mul", np.array(1 / 255))],
        [("Mul", np.array(1 / 127.5)), ("Add", np.array(-1.0))],
        [("Sub", np.array(128.0)), ("Div", np.array(64.0))],
        [("Add", np.array(-100.0))],
    ],
)
def test_a_rescaled_image_enters_as_it_is(target: str, last: bool, steps: list[tuple[str, Array]]) -> None:
    model, samples = rescaled(steps, last=last), images(last=last)
    made = pipeline.quantize(model, target, samples)
    assert made.integer.layers[0].op != INPUT_QUANTIZER
    assert not made.refusals
    assert noise(made, samples, run_float(model, samples)) < (0.05 if target == "akida1" else 0.002)


@pytest.mark.parametrize("last", [False, True])
def test_each_channel_may_have_a_mean_and_a_deviation(last: bool) -> None:
    steps = [("Mul", channels(1 / (255 * DEVIATION), last=last)), ("Add", channels(-MEAN / DEVIATION, last=last))]
    model, samples = rescaled(steps, last=last), images(last=last)
    made = pipeline.quantize(model, "akida2", samples)
    assert not made.refusals
    assert noise(made, samples, run_float(model, samples)) < 0.002
    conv = next(layer for layer in made.integer.layers if layer.op == "conv2d")
    assert conv.constants["padding_value"].tolist() == np.rint(255 * MEAN).tolist()


def test_akida1_has_one_border_for_all_channels() -> None:
    steps = [("Mul", channels(1 / (255 * DEVIATION), last=False)), ("Add", channels(-MEAN / DEVIATION, last=False))]
    with pytest.raises(QuaintError, match="QT3") as caught:
        pipeline.quantize(rescaled(steps), "akida1", images(last=False))
    assert any("its border would differ between channels" in line for line in caught.value.details)


def test_the_fraction_of_an_offset_is_in_the_bias() -> None:
    """Half a step of the input, over all taps of a filter, is what a rounded zero point would lose."""
    steps = [("Mul", np.array(1 / 127.5)), ("Add", np.array(-1.0))]
    model, samples = rescaled(steps), images(last=False)
    exact = pipeline.quantize(model, "akida2", samples)
    assert abs(float((exact.run(samples)["output"] - run_float(model, samples))[:, :, 1:-1, 1:-1].mean())) < 0.01


def test_a_float_input_is_quantized_before_it_is_rescaled() -> None:
    model = rescaled([("Mul", np.array(1 / 255))], TensorProto.FLOAT)
    samples = images(last=False).astype(np.float32)
    made = pipeline.quantize(model, "akida2", samples)
    quantizer = made.integer.layers[0]
    assert quantizer.op == INPUT_QUANTIZER
    np.testing.assert_array_equal(quantizer.constants["factor"], [1, 1, 1])
    np.testing.assert_array_equal(quantizer.constants["zero_point"], [0, 0, 0])
    assert noise(made, samples, run_float(model, samples)) < 0.002


@pytest.mark.parametrize("constant", [np.array(-1.0), 1 + np.arange(192.0).reshape(3, 8, 8)])
def test_what_is_no_rescaling_is_refused(constant: Array) -> None:
    with pytest.raises(QuaintError, match="QT3") as caught:
        pipeline.quantize(rescaled([("Mul", constant)]), "akida2", images(last=False))
    assert any("not positive" in line or "one for each" in line for line in caught.value.details)


def test_the_first_layer_after_a_rescaling_is_the_input_layer() -> None:
    made = pipeline.quantize(
        rescaled([("Mul", np.array(1 / 255))]), "akida1", images(last=False), Config(input_weight_bits=8, weight_bits=4)
    )
    first = next(layer for layer in made.integer.layers if layer.op == "convolutional")
    assert np.abs(first.constants["weight"]).max() > 7
