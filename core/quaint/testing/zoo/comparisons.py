"""Truth values at the end of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.testing.zoo.registry import model

if TYPE_CHECKING:
    from quaint.testing.builder import Builder

SAME = [1, 1, 1, 1]


@model
def compare_tensors(b: Builder) -> tuple[str, str]:
    """Where one branch is larger than another, and whether its averages are."""
    x = b.input(3, 6, 6)
    left, right = (b.conv(x, (3, 4), pads=SAME) for _ in range(2))
    averages = [b.op("GlobalAveragePool", branch) for branch in (left, right)]
    return b.op("Greater", left, right), b.op("LessOrEqual", *averages)


@model
def compare_constant(b: Builder) -> tuple[str, str]:
    """Where a map is beyond a threshold, as truth values, and beyond one for each channel, as 0.0 and 1.0."""
    x = b.conv(b.input(3, 6, 6), (3, 4), pads=SAME)
    limits = b.constant([[[0.2]], [[-0.3]], [[0.7]], [[0.0]]])
    return b.op("Less", b.constant(-0.25), x), b.op("Cast", b.op("GreaterOrEqual", x, limits), to=1)
