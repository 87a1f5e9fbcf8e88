"""What leaves the float model for observers is what they would have taken from whole tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from quaint.config import Config
from quaint.floatmodel import FloatModel
from quaint.needs import Needs
from quaint.observers.histogram import HistogramObserver
from quaint.pipeline import canonical, load_model
from quaint.probes import Probes, is_reducible
from quaint.testing.builder import Builder

Array = np.ndarray[Any, np.dtype[Any]]

SAMPLES = np.random.default_rng(0).normal(size=(5, 3, 40, 40)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> ir.Model:
    """The middle has 19,200 values a sample, more than histograms count, and may be NaN; a ReLU hides that."""
    build = Builder("middle")
    rooted = build.op("Sqrt", build.conv(build.input(3, 40, 40), (3, 12), pads=[1] * 4))
    return canonical(load_model(build.build(build.conv(build.op("Relu", rooted), (12, 4)))), Config())


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
