"""What the stages hand to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quaint import pipeline
from quaint.config import Config
from quaint.quantizers.ranges import Ranges, Steps
from quaint.samples import input_specs, open_samples
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from quaint.partition import Plan
    from quaint.target import Target

SAMPLES = np.random.default_rng(0).uniform(0, 1, (40, 3, 8, 8)).astype(np.float32)


class Watching(Ranges):
    """Keeps what it is prepared with."""

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.seen: list[NDArray[Any]] = []

    def prepare(self, plan: Plan, samples: Mapping[str, NDArray[Any]]) -> None:  # noqa: ARG002
        self.seen.append(samples["input"])


@pytest.mark.parametrize(("wanted", "expected"), [((0,), 1), ((12,), 12), ((12, 30), 30), ((100, 0), 40)])
def test_quantizers_see_as_many_samples_as_they_want(demo: Target, wanted: tuple[int, ...], expected: int) -> None:
    """Of several the largest wish; all where there are no more."""
    build = Builder("prepared")
    model = pipeline.canonical(pipeline.load_model(build.build(build.conv(build.input(3, 8, 8), (3, 4)))), Config())
    plan = pipeline.divide(model, demo, Config())
    steps = [Watching(count) for count in wanted]
    pipeline.prepare(Steps(steps), plan, open_samples(SAMPLES, input_specs(model)))
    for step in steps:
        (seen,) = step.seen
        np.testing.assert_array_equal(seen, SAMPLES[:expected])
