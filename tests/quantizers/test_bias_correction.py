"""Bias correction: the means of quantized layers come back to those of the float model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from quaint import pipeline
from quaint.config import Config
from quaint.floatmodel import FloatModel
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from quaint.quantized import Quantized
    from quaint.target import Target

SAMPLES = np.random.default_rng(2).uniform(0, 1, (32, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def coarse(demo: Target) -> Target:
    """A chip of 4-bit weights with one scale for all: its rounding shifts means."""
    return replace(demo, weight=replace(demo.weight, axis=None), defaults={"weight_bits": 4})


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """Positive inputs and activations, so that errors of weights add up to shifts; a branch, a pool and a dense layer."""
    build = Builder("shifted")
    x = build.op("Relu", build.conv(build.input(3, 8, 8), (3, 8), pads=[1, 1, 1, 1]))
    y = build.conv(x, (8, 8), pads=[1, 1, 1, 1])
    x = build.op("Relu", build.op("Add", x, y))
    x = build.op("Relu", build.conv(x, (8, 8), group=8))
    x = build.op("Flatten", build.op("GlobalAveragePool", x))
    return build.build(build.gemm(x, 8, 5))


def shifts(made: Quantized, reference: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean error of each output."""
    real = FloatModel(pipeline.load_model(reference)).run({"input": x})
    error = np.asarray(next(iter(made.run(x).values())), np.float64) - next(iter(real.values()))
    return np.asarray(error.mean(axis=0))


@pytest.mark.parametrize("quantizer", ["bias-correction", "equalize+bias-correction"])
def test_means_come_back(coarse: Target, model: onnx.ModelProto, quantizer: str) -> None:
    plain = pipeline.quantize(model, coarse, SAMPLES)
    corrected = pipeline.quantize(model, coarse, SAMPLES, Config(quantizer=quantizer))
    fresh = np.random.default_rng(3).uniform(0, 1, (64, 3, 8, 8)).astype(np.float32)
    assert np.abs(shifts(corrected, model, fresh)).max() < np.abs(shifts(plain, model, fresh)).max() / 3


def test_only_biases_differ(coarse: Target, model: onnx.ModelProto) -> None:
    plain = pipeline.quantize(model, coarse, SAMPLES)
    corrected = pipeline.quantize(model, coarse, SAMPLES, Config(quantizer="bias-correction"))
    for one, other in zip(plain.integer.layers, corrected.integer.layers, strict=True):
        assert one.attributes == other.attributes
        assert one.constants.keys() == other.constants.keys()
        for name, values in one.constants.items():
            assert np.array_equal(values, other.constants[name]) == (name != "bias"), f"{one.name}/{name}"


def test_errors_are_measured_against_the_model_as_it_was(coarse: Target, model: onnx.ModelProto) -> None:
    made = pipeline.quantize(model, coarse, SAMPLES, Config(quantizer="bias-correction"))
    assert made.source is not None
    mine = FloatModel(made.source).run({"input": SAMPLES})
    for name, values in FloatModel(pipeline.load_model(model)).run({"input": SAMPLES}).items():
        np.testing.assert_allclose(mine[name], values, atol=1e-5)


def test_the_same_twice(coarse: Target, model: onnx.ModelProto) -> None:
    wish = Config(quantizer="equalize+bias-correction")
    first, second = (pipeline.quantize(model, coarse, SAMPLES, wish).to_bytes() for _ in range(2))
    assert first == second
