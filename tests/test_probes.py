"""What leaves the float model for observers is what they would have taken from whole tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from quaint.config import Config
from quaint.floatmodel import FloatModel
from quaint.needs import Needs, Thinning
from quaint.observers.histogram import HistogramObserver
from quaint.pipeline import canonical, load_model
from quaint.probes import Probes, is_not_negative, is_reducible
from quaint.testing.builder import Builder

Array = np.ndarray[Any, np.dtype[Any]]

SAMPLES = np.random.default_rng(0).normal(size=(5, 3, 40, 40)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> ir.Model:
    """The middle has 22,400 values a sample, more than histograms count, and may be NaN; a ReLU hides that."""
    build = Builder("middle")
    rooted = build.op("Sqrt", build.conv(build.input(3, 40, 40), (3, 14), pads=[1] * 4))
    return canonical(load_model(build.build(build.conv(build.op("Relu", rooted), (14, 4)))), Config())


def seen(model: ir.Model, need: Needs, name: str, x: Array = SAMPLES) -> list[Array]:
    return Probes(model, {name: need}).run({"input": x})[name]


@pytest.mark.parametrize("name", ["input", "conv0", "conv1"])
def test_values_and_extremes(model: ir.Model, name: str) -> None:
    whole = FloatModel(model, [name]).run({"input": SAMPLES})[name]
    (values,) = seen(model, Needs.VALUES, name)
    np.testing.assert_array_equal(values, whole)
    flat = whole.reshape(len(SAMPLES), -1)
    if name != "conv1":  # NaN there
        (extremes,) = seen(model, Needs.EXTREMES, name)
        np.testing.assert_array_equal(extremes, np.stack([flat.min(axis=1), flat.max(axis=1)], axis=1))
        (extremes,) = seen(model, Needs.CHANNEL_EXTREMES, name)
        rows = whole.reshape(*whole.shape[:2], -1)
        np.testing.assert_array_equal(extremes, np.stack([rows.min(axis=2), rows.max(axis=2)], axis=2))


@pytest.mark.parametrize(("name", "thinned"), [("input", False), ("conv0", True)])
def test_a_part_counts_as_the_whole_tensor_does(model: ir.Model, name: str, *, thinned: bool) -> None:
    whole = FloatModel(model, [name]).run({"input": SAMPLES})[name]
    first, other = HistogramObserver(), HistogramObserver()
    first.observe(whole)
    other.observe(*seen(model, Needs.PART, name))
    assert first.extremes() == other.extremes()
    np.testing.assert_array_equal(first.histogram().counts, other.histogram().counts)
    assert (first.histogram().counts.sum() < whole.size) == thinned


@pytest.mark.parametrize("clip", [[], [0.0, 1.5]])
@pytest.mark.parametrize("need", [Needs.PART, Needs.CHANNEL_PART])
def test_an_image_that_is_not_negative_is_reduced_by_pooling(need: Needs, clip: list[float]) -> None:
    build = Builder("image")
    x = build.conv(build.input(3, 40, 40), (3, 12), pads=[1] * 4)
    x = build.op("Clip", x, *(build.constant(bound) for bound in clip)) if clip else build.op("Relu", x)
    model = canonical(load_model(build.build(build.conv(x, (12, 4)))), Config())
    assert [node.op_type for node in model.graph][1] == ("Clip" if clip else "Relu")
    (name,) = (value.name or "" for value in model.graph[1].outputs)
    whole = FloatModel(model, [name]).run({"input": SAMPLES})[name]
    extremes, part = Probes(model, {name: need}, samples=1024).run({"input": SAMPLES})[name]
    rows = whole.reshape(*whole.shape[: 1 + need.by_channel], -1)
    np.testing.assert_array_equal(extremes[..., 1], rows.max(axis=-1))
    assert not extremes[..., 0].any()
    assert whole.min() == 0
    thinning = Thinning.of(whole.shape[1:], by_channel=need.by_channel, samples=1024)
    assert thinning.image > 1
    np.testing.assert_array_equal(part, thinning.apply(whole, by_channel=need.by_channel))


def test_what_is_not_negative() -> None:
    build = Builder("signs")
    x = build.input(3, 8, 8)
    for op in ("Relu", "MaxPool", "Neg"):
        x = build.op(op, x, **({"kernel_shape": [1, 1]} if op == "MaxPool" else {}))
    model = load_model(build.build(x))
    signs = {node.op_type: is_not_negative(node.outputs[0]) for node in model.graph}
    assert signs == {"Relu": True, "MaxPool": True, "Neg": False}
    assert not is_not_negative(model.graph.inputs[0])


@pytest.mark.parametrize(("bounds", "expected"), [([0.0, 6.0], True), ([0.5], True), ([-1.0, 6.0], False), ([], False)])
def test_a_clip_is_not_negative_as_its_lower_bound_is_not(bounds: list[float], expected: bool) -> None:
    build = Builder("clipped")
    model = load_model(build.build(build.op("Clip", build.input(3, 8, 8), *map(build.constant, bounds))))
    assert is_not_negative(model.graph.outputs[0]) is expected


def test_sums_that_overflow_hide_no_extremes() -> None:
    """Of an image that is not negative, by pooling: its sum is infinite, its values are not."""
    build = Builder("huge")
    model = canonical(load_model(build.build(build.op("Relu", build.input(3, 40, 40)))), Config())
    x = np.full_like(SAMPLES, 3e38)
    x[0], x[3, 1, 17, 5] = 1, np.inf
    (name,) = (value.name or "" for value in model.graph.outputs)
    (extremes,) = seen(model, Needs.CHANNEL_EXTREMES, name, x)
    bad = np.zeros((5, 3), bool)
    bad[3, 1] = True
    np.testing.assert_array_equal(np.isnan(extremes[..., 1]), bad)
    np.testing.assert_array_equal(extremes[..., 1][~bad], x.max(axis=(2, 3))[~bad])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_value_shows(model: ir.Model, bad: float) -> None:
    x = SAMPLES.copy()
    x[3, 1, 17, 5] = bad
    (extremes,) = seen(model, Needs.EXTREMES, "input", x)
    assert np.isnan(extremes[:, 0]).tolist() == [False, False, False, True, False]


def test_huge_values_are_none_the_less_finite(model: ir.Model) -> None:
    (extremes,) = seen(model, Needs.EXTREMES, "input", np.full_like(SAMPLES, -3e38))
    np.testing.assert_array_equal(extremes, np.float32(-3e38))


def test_the_model_stays_as_it_is(model: ir.Model) -> None:
    before = ir.serde.serialize_model(model).SerializeToString(deterministic=True)
    seen(model, Needs.PART, "conv0")
    assert ir.serde.serialize_model(model).SerializeToString(deterministic=True) == before


def test_what_can_be_reduced() -> None:
    reals = ir.TensorType(ir.DataType.FLOAT)
    assert is_reducible(ir.Value(name="x", type=reals, shape=ir.Shape(["N", 3, 4])))
    assert is_reducible(ir.Value(name="x", type=reals, shape=ir.Shape(["N"])))
    assert not is_reducible(ir.Value(name="x", type=reals, shape=ir.Shape(["N", "T"])))
    assert not is_reducible(ir.Value(name="x", type=reals))
    assert not is_reducible(ir.Value(name="x", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["N", 3])))
