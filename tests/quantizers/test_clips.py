"""Clips between layers with weights: the function stays, the bound is the highest integer of a power-of-two scale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quaint import pipeline
from quaint.config import Config
from quaint.floatmodel import FloatModel
from quaint.numerics import ScaleKind
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    from quaint.target import Target

SAMPLES = 4 * np.random.default_rng(0).uniform(-1, 1, (8, 3, 6, 6)).astype(np.float32)
SAME = [1, 1, 1, 1]


def clip(b: Builder, x: str, low: float, high: float) -> str:
    return b.op("Clip", x, b.constant(low), b.constant(high))


def bottleneck(b: Builder) -> str:
    x = clip(b, b.conv(b.input(3, 6, 6), (3, 8), (1, 1)), 0, 6)
    x = clip(b, b.conv(x, (8, 8), group=8, pads=SAME), 0, 6)
    return b.conv(x, (8, 4), (1, 1))


def pooled(b: Builder) -> str:
    x = clip(b, b.conv(b.input(3, 6, 6), (3, 8), (1, 1)), 0, 1)
    return b.gemm(b.op("Flatten", b.op("GlobalAveragePool", x)), 8, 5)


def two_readers(b: Builder) -> str:
    x = clip(b, b.conv(b.input(3, 6, 6), (3, 8), (1, 1)), 0, 20)
    return b.op("Add", b.conv(x, (8, 4), (1, 1)), b.conv(b.op("MaxPool", x, kernel_shape=[1, 1]), (8, 4), (1, 1)))


def added(b: Builder) -> str:
    x = b.input(3, 6, 6)
    return b.op("Add", clip(b, b.conv(x, (3, 4), (1, 1)), 0, 6), b.conv(x, (3, 4), (1, 1)))


def leaving(b: Builder) -> str:
    return clip(b, b.conv(b.input(3, 6, 6), (3, 4), (1, 1)), 0, 6)


def two_sided(b: Builder) -> str:
    return b.conv(clip(b, b.conv(b.input(3, 6, 6), (3, 4), (1, 1)), -1, 1), (4, 4), (1, 1))


def fitted(make: Callable[[Builder], str], chip: Target) -> tuple[ir.Model, ir.Model]:
    """The canonical model, and as it is divided."""
    build = Builder(make.__name__)
    model = pipeline.canonical(pipeline.load_model(build.build(make(build))), Config())
    return model, pipeline.divide(model.clone(), chip, Config()).model


def run(model: ir.Model) -> Any:
    return next(iter(FloatModel(model).run({"input": SAMPLES}).values()))


def bounds(model: ir.Model) -> list[float]:
    clips = [node for node in model.graph if node.op_type == "Clip"]
    return [float(value.const_value.numpy()) for node in clips if (value := node.inputs[2]) and value.const_value]


@pytest.mark.parametrize(
    ("make", "ends"),
    [(bottleneck, [127 / 16, 127 / 16]), (pooled, [127 / 128]), (two_readers, [127 / 8])],
)
def test_the_same_function_with_another_bound(demo: Target, make: Callable[[Builder], str], ends: list[float]) -> None:
    before, after = fitted(make, demo)
    assert bounds(after) == ends
    np.testing.assert_allclose(run(after), run(before), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [added, leaving, two_sided])
def test_clips_that_are_left_alone(demo: Target, make: Callable[[Builder], str]) -> None:
    before, after = fitted(make, demo)
    assert bounds(after) == bounds(before)
    np.testing.assert_array_equal(run(after), run(before))


def test_scales_that_fit_any_bound_need_nothing(demo: Target) -> None:
    chip = replace(demo, activation=replace(demo.activation, scale=ScaleKind.FLOAT))
    before, after = fitted(bottleneck, chip)
    assert bounds(after) == bounds(before) == [6, 6]


def test_dividing_again_changes_nothing(demo: Target) -> None:
    _, once = fitted(bottleneck, demo)
    np.testing.assert_array_equal(run(pipeline.divide(once.clone(), demo, Config()).model), run(once))
