"""The walk through the layers: means in float and on the integers, a few samples at a time; the model stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quaint import pipeline
from quaint.calibrate import calibrate
from quaint.config import Config
from quaint.floatmodel import FloatModel
from quaint.quantizers.ranges import Ranges
from quaint.quantizers.walk import Product, Walk
from quaint.quantizers.weights import array
from quaint.specs import resolve_specs
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.target import Target

#: No whole number of chunks.
SAMPLES = np.random.default_rng(2).uniform(0, 1, (10, 3, 8, 8)).astype(np.float32)


@pytest.fixture
def walk(demo: Target) -> Walk:
    """A branch, a pool and a dense layer: three products."""
    build = Builder("walked")
    x = build.op("Relu", build.conv(build.input(3, 8, 8), (3, 8), pads=[1, 1, 1, 1]))
    x = build.op("Relu", build.op("Add", x, build.conv(x, (8, 8), pads=[1, 1, 1, 1])))
    model = build.build(build.gemm(build.op("Flatten", build.op("GlobalAveragePool", x)), 8, 5))
    plan = pipeline.divide(pipeline.canonical(pipeline.load_model(model), Config()), demo, Config())
    specs, feeds = resolve_specs(plan), {"input": SAMPLES}
    ranges = calibrate(plan, specs, lambda: [feeds])
    return Walk(plan, Ranges().choose(plan, specs, ranges), ranges, feeds)


def means(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(values.astype(np.float64).mean(axis=tuple(i for i in range(values.ndim) if i != 1)))


def weights_of(walk: Walk) -> list[NDArray[np.float64]]:
    nodes = [node for node in walk.plan.model.graph if node.op_type in {"Conv", "Gemm"}]
    return [array(node, index) for node in nodes for index in (1, 2)]


def test_means_are_those_of_the_float_model(walk: Walk) -> None:
    found: dict[str, NDArray[np.float64]] = {}

    def keep(product: Product) -> NDArray[np.float64]:
        found[product.sums] = product.mean
        return array(product.node, 1)

    walk.go(keep)
    wanted = FloatModel(walk.plan.model, list(found)).run({"input": SAMPLES})
    assert len(found) == 3
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], means(values), rtol=1e-5, atol=1e-6)


def test_the_integers_go_on_with_the_weights_that_are_given(walk: Walk) -> None:
    """The first layer goes on with none, so that its biases are all that the later ones see; the model keeps its weights."""
    before, first = weights_of(walk), True
    params = walk.lowering.params["input"]

    def check(product: Product) -> NDArray[np.float64]:
        nonlocal first
        exact, bias = array(product.node, 1), array(product.node, 2)
        np.testing.assert_allclose(walk.mean(product, 0 * exact), bias, atol=1e-6)
        entering = np.concatenate(list(walk.entering(product)))
        assert len(entering) == len(SAMPLES)
        if first:
            first = False
            np.testing.assert_allclose(entering, params.dequantize(params.quantize(SAMPLES)), atol=1e-6)
            assert np.abs(walk.mean(product, exact) - product.mean).max() < 0.02
            return 0 * exact
        assert np.ptp(entering, axis=tuple(i for i in range(entering.ndim) if i != 1)).max() == 0
        return exact

    walk.go(check)
    assert not first
    for one, other in zip(before, weights_of(walk), strict=True):
        np.testing.assert_array_equal(one, other)
