"""Calibration: the ranges are those of observers that see every tensor whole."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quaint import calibrate as calibration
from quaint import graph, pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.floatmodel import FloatModel
from quaint.observers.minmax import MinMax
from quaint.plugins import registry
from quaint.specs import resolve_specs
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from quaint.partition import Plan
    from quaint.scales import Range
    from quaint.target import Target

SAMPLES = np.random.default_rng(2).normal(size=(24, 3, 32, 32)).astype(np.float32)
BATCH = 10


def plan_for(target: Target) -> Plan:
    build = Builder("calibrated")
    x = build.op("Relu", build.conv(build.input(3, 32, 32), (3, 12)))
    model = build.build(build.conv(x, (12, 2)))
    config = Config()
    return pipeline.divide(pipeline.canonical(pipeline.load_model(model), config), target, config)


def batches(x: Any = SAMPLES) -> Iterator[Mapping[str, Any]]:
    return ({"input": x[start : start + BATCH]} for start in range(0, len(x), BATCH))


def observed(plan: Plan) -> Mapping[str, Range]:
    return calibration.calibrate(plan, resolve_specs(plan), batches)


@pytest.mark.parametrize("axis", [None, 1])
@pytest.mark.parametrize("name", ["minmax", "moving-max", "percentile", "kl", "mse"])
def test_ranges_are_those_of_whole_tensors(
    demo: Target, name: str, axis: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "CHUNK_BYTES", 1 << 18)  # a few samples
    target = replace(demo, activation=replace(demo.activation, observer=name, axis=axis))
    plan = plan_for(target)
    ranges = observed(plan)
    assert set(ranges) == set(plan.edges)
    for edge, found in ranges.items():
        spec = resolve_specs(plan)[edge]
        assert spec is not None
        observer = registry().get("quaint_observers", name)(axis=spec.axis, dtype=spec.dtype, power_of_two=True)
        for batch in batches():
            observer.observe(FloatModel(plan.model, [edge]).run(batch)[edge])
        low, high = observer.range()
        np.testing.assert_allclose(found.low, low, rtol=1e-6)
        np.testing.assert_allclose(found.high, high, rtol=1e-6)


@pytest.mark.parametrize(("together", "expected"), [(2, [4] * 6), (5, [10, 10, 4]), (32, [24])])
def test_what_was_reduced_is_observed_for_many_samples_together(
    demo: Target, monkeypatch: pytest.MonkeyPatch, together: int, expected: list[int]
) -> None:
    """Runs are of two samples, whatever the batches, with two numbers of each; what is left at the end is observed, too."""
    plan = plan_for(replace(demo, activation=replace(demo.activation, observer="minmax")))
    bytes_of = sum(graph.sample_bytes(plan.values[name]) for name in plan.edges)
    monkeypatch.setattr(calibration, "CHUNK_BYTES", 2 * bytes_of)
    monkeypatch.setattr(calibration, "TOGETHER", together * 2 * 2 * np.dtype(np.float32).itemsize)
    seen: dict[MinMax, list[int]] = {}
    observe = MinMax.observe

    def watched(self: MinMax, batch: Any) -> None:
        seen.setdefault(self, []).append(len(batch))
        observe(self, batch)

    monkeypatch.setattr(MinMax, "observe", watched)
    observed(plan)
    assert list(seen.values()) == [expected] * len(plan.edges)


@pytest.mark.parametrize("observer", ["minmax", "moving-max", "percentile"])
def test_not_a_number_has_a_place(demo: Target, observer: str) -> None:
    plan = plan_for(replace(demo, activation=replace(demo.activation, observer=observer)))
    x = SAMPLES.copy()
    x[20, 0, 3, 3] = np.nan
    with pytest.raises(QuaintError, match=r"QC205.*NaN.*'input'"):
        calibration.calibrate(plan, resolve_specs(plan), lambda: batches(x))
