"""Equalization: the function stays, the ranges of the channels meet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quaint import pipeline
from quaint.config import Config
from quaint.floatmodel import FloatModel
from quaint.numerics import ScaleKind
from quaint.quantizers.equalize import LIMIT, MARGIN, Equalize
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.partition import Plan
    from quaint.target import Target

CHANNELS = 8
SPREAD: NDArray[np.float64] = np.exp2(np.arange(-4, 4, dtype=np.float64))
SAMPLES = np.random.default_rng(1).uniform(-1, 1, (16, 3, 6, 6)).astype(np.float32)


def two_layers(
    demo: Target, *activation: Any, spread: NDArray[np.float64] = SPREAD, bias: float = 0.1, depthwise: bool = False
) -> Plan:
    """Two convolutions, an activation between; the first one's channels are of very different sizes."""
    build, random = Builder("pair"), np.random.default_rng(0)
    weight = random.uniform(-1, 1, (CHANNELS, 3, 3, 3)) * spread.reshape(-1, 1, 1, 1)
    x = build.op("Conv", build.input(3, 6, 6), build.constant(weight), build.constant(np.full(CHANNELS, bias)))
    name, *bounds = activation
    x = build.op(name, x, *(build.constant(bound) for bound in bounds))
    group = {"group": CHANNELS} if depthwise else {}
    x = build.conv(x, (CHANNELS, CHANNELS if depthwise else 4), (3, 3), **group)
    config = Config()
    return pipeline.divide(pipeline.canonical(pipeline.load_model(build.build(x)), config), demo, config)


def outputs(plan: Plan, x: NDArray[np.float32]) -> NDArray[np.float32]:
    made = FloatModel(plan.model).run({"input": x})
    return np.asarray(next(iter(made.values())))


def weights(plan: Plan, node: int) -> NDArray[np.float64]:
    found = [node for node in plan.model.graph if node.op_type == "Conv"][node].inputs[1]
    assert found is not None
    assert found.const_value is not None
    return np.abs(found.const_value.numpy().astype(np.float64))


def biases(plan: Plan) -> NDArray[np.float64]:
    """Magnitudes of the first convolution's."""
    found = next(iter(plan.model.graph)).inputs[2]
    assert found is not None
    assert found.const_value is not None
    return np.abs(found.const_value.numpy().astype(np.float64))


def ratio(values: NDArray[np.float64]) -> float:
    return float(values.max() / values.min())


@pytest.mark.parametrize("activation", [("Relu",), ("Clip", 0.0, 1e3)])
@pytest.mark.parametrize("depthwise", [False, True])
def test_the_same_function_with_even_ranges(
    demo: Target,
    activation: tuple[Any, ...],
    depthwise: bool,
) -> None:
    plan = two_layers(demo, *activation, depthwise=depthwise)
    before, uneven = outputs(plan, SAMPLES), ratio(weights(plan, 0).max(axis=(1, 2, 3)))
    Equalize().prepare(plan, {"input": SAMPLES})
    np.testing.assert_allclose(outputs(plan, SAMPLES), before, rtol=1e-4, atol=1e-4)
    outgoing = weights(plan, 0).max(axis=(1, 2, 3))
    incoming = weights(plan, 1).max(axis=(1, 2, 3) if depthwise else (0, 2, 3))
    assert ratio(outgoing) < uneven / 8
    np.testing.assert_allclose(np.maximum(outgoing, biases(plan)), incoming, rtol=0.02)


@pytest.mark.parametrize("bound", [2.0, 6.0, 20.0])
def test_a_bound_stays_as_far_as_samples_tell(demo: Target, bound: float) -> None:
    """Some channels reach it and others do not; either way the samples give what they gave."""
    any_scale = replace(
        demo, activation=replace(demo.activation, scale=ScaleKind.FLOAT)
    )  # else the bound is moved before
    plan = two_layers(any_scale, "Clip", 0.0, bound)
    before, was = outputs(plan, SAMPLES), weights(plan, 0)
    Equalize().prepare(plan, {"input": SAMPLES})
    np.testing.assert_allclose(outputs(plan, SAMPLES), before, rtol=1e-4, atol=1e-4)
    changed = (was / weights(plan, 0)).max(axis=(1, 2, 3))
    assert changed[-1] == 1.0, "the largest channel reaches the bound"
    assert changed[0] < 0.6, "the smallest does not"


def test_channels_keep_away_from_the_bound(demo: Target) -> None:
    plan = two_layers(demo, "Clip", 0.0, 6.0)
    conv = next(node.outputs[0].name or "" for node in plan.model.graph)
    before = FloatModel(plan.model, [conv]).run({"input": SAMPLES})[conv].max(axis=(0, 2, 3))
    Equalize().prepare(plan, {"input": SAMPLES})
    after = FloatModel(plan.model, [conv]).run({"input": SAMPLES})[conv].max(axis=(0, 2, 3))
    assert (after <= np.maximum(before, 6.0 / MARGIN) * 1.0001).all()


@pytest.mark.parametrize("activation", [("Clip", -1.0, 1.0), ("Sigmoid",)])
def test_other_functions_are_left_alone(demo: Target, activation: tuple[Any, ...]) -> None:
    plan = two_layers(demo, *activation)
    before = weights(plan, 0)
    Equalize().prepare(plan, {"input": SAMPLES})
    np.testing.assert_array_equal(weights(plan, 0), before)


def test_a_dead_channel_is_not_scaled_up_with_its_bias(demo: Target) -> None:
    """Almost no weights and a plain bias: the bias must stay in the range of the others."""
    spread = np.ones(CHANNELS)
    spread[0] = 1e-9
    plan = two_layers(demo, "Relu", spread=spread, bias=0.5)
    Equalize().prepare(plan, {"input": SAMPLES})
    assert biases(plan).max() < 4


def test_scales_are_bounded(demo: Target) -> None:
    spread = np.ones(CHANNELS)
    spread[0] = 1e-12
    plan = two_layers(demo, "Relu", spread=spread, bias=0.0)
    before = weights(plan, 0)
    Equalize().prepare(plan, {"input": SAMPLES})
    assert (weights(plan, 0) / before).max() <= LIMIT * 1.0001
