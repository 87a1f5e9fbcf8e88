"""Reconstruction: outputs of layers come nearer to those of the float model than nearest rounding brings them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.floatmodel import FloatModel
from quaint.numerics import ScaleKind
from quaint.quantizers.reconstruction import _Grid, reconstruct
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from quaint.target import Target

RANDOM = np.random.default_rng(4)
MIXED = RANDOM.normal(0, 1, (3, 3))


def samples(count: int, seed: int) -> NDArray[np.float32]:
    """Images whose channels and pixels go together, as those of the world do."""
    random = np.random.default_rng(seed)
    smooth = random.normal(0, 1, (count, 3, 1, 1)) + 0.5 * random.normal(0, 1, (count, 3, 10, 10))
    return np.einsum("ij,njhw->nihw", MIXED, smooth).astype(np.float32)


SAMPLES = samples(32, 5)


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """Convolutions of every kind, and a dense layer."""
    build = Builder("kinds")
    x = build.op("Relu", build.conv(build.input(3, 10, 10), (3, 8), pads=[1, 1, 1, 1], strides=[2, 2]))
    x = build.op("Relu", build.conv(x, (8, 8), group=8))
    x = build.op("Relu", build.conv(x, (8, 12), (1, 1)))
    x = build.op("Relu", build.conv(x, (12, 12), group=2))
    x = build.op("Flatten", build.op("GlobalAveragePool", x))
    return build.build(build.gemm(x, 12, 5))


@pytest.fixture(scope="module", params=[None, 0], ids=["one scale", "a scale for each filter"])
def coarse(demo: Target, request: pytest.FixtureRequest) -> Target:
    """A chip of 4-bit weights."""
    return replace(
        demo, weight=replace(demo.weight, axis=request.param), weight_bits=(4, 8), bias=demo.bias | {4: demo.bias[8]}
    )


def noise(model: onnx.ModelProto, chip: Target, quantizer: str) -> float:
    """Noise-to-signal power on samples that calibration did not see."""
    fresh = samples(64, 6)
    made = pipeline.quantize(model, chip, SAMPLES, Config(quantizer=quantizer, weight_bits=4))
    real = next(iter(FloatModel(pipeline.load_model(model)).run({"input": fresh}).values()))
    error = next(iter(made.run(fresh).values())) - real
    return float((error**2).sum() / (real**2).sum())


def test_less_noise_than_nearest_rounding(coarse: Target, model: onnx.ModelProto) -> None:
    assert noise(model, coarse, "reconstruction") < 0.7 * noise(model, coarse, "bias-correction")


def test_scales_that_are_no_powers_of_two(coarse: Target, model: onnx.ModelProto) -> None:
    weight, activation = (replace(spec, scale=ScaleKind.FLOAT) for spec in (coarse.weight, coarse.activation))
    chip = replace(coarse, weight=weight, activation=activation)
    assert noise(model, chip, "reconstruction") < 0.7 * noise(model, chip, "bias-correction")


def test_integers_are_those_that_were_fitted(coarse: Target, model: onnx.ModelProto) -> None:
    config = pipeline.wishes(coarse, Config(quantizer="reconstruction", weight_bits=4))
    plan = pipeline.divide(pipeline.canonical(pipeline.load_model(model), config), coarse, config)
    made = pipeline.finish(plan, pipeline.gather(plan.model, config, SAMPLES), pipeline.Stages())
    fitted = {node.name: node.inputs[1].const_value.numpy() for node in plan.model.graph if node.op_type == "Conv"}
    assert len(fitted) == 4
    for layer in made.integer.layers:
        if layer.name in fitted:
            reals = made.integer.tensors[f"{layer.name}/weight"].dequantize(layer.constants["weight"])
            np.testing.assert_array_equal(reals.astype(np.float32), fitted[layer.name])


def test_without_correlations_it_is_nearest_rounding() -> None:
    rows = RANDOM.uniform(-3, 3, (2, 4, 9))
    moments = np.broadcast_to(np.diag(RANDOM.uniform(0.5, 2, 9)), (2, 9, 9))
    made = reconstruct(rows, moments, np.full((2, 4), 0.25), _Grid(-8, 7))
    np.testing.assert_array_equal(made, np.clip(np.rint(rows.astype(np.float32) / 0.25), -8, 7) * 0.25)


def test_with_correlations_the_products_are_nearer() -> None:
    x = RANDOM.normal(0, 1, (500, 100)) @ RANDOM.normal(0, 1, (100, 100))
    rows, steps = RANDOM.normal(0, 1, (1, 6, 100)), np.full((1, 6), 0.5)
    nearest = np.clip(np.rint(rows / 0.5), -8, 7) * 0.5
    made = reconstruct(rows, x.T[None] @ x, steps, _Grid(-8, 7))
    errors = [((x @ (weights - rows)[0].T) ** 2).sum() for weights in (made, nearest)]
    assert errors[0] < 0.6 * errors[1]


def test_the_same_twice(coarse: Target, model: onnx.ModelProto) -> None:
    wish = Config(quantizer="equalize+reconstruction")
    first, second = (pipeline.quantize(model, coarse, SAMPLES, wish).to_bytes() for _ in range(2))
    assert first == second


def test_an_unknown_step_is_refused(demo: Target, model: onnx.ModelProto) -> None:
    with pytest.raises(QuaintError) as caught:
        pipeline.quantize(model, demo, SAMPLES, Config(quantizer="equalize+reconstuction"))
    assert caught.value.code == "QU104"
    assert "reconstruction" in str(caught.value.hint)
