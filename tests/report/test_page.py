"""Bars of the page."""

from __future__ import annotations

import pytest

from quaint.report.page import BAR_WIDTH, BEST, bar, grade


def test_bars_are_logarithmic_and_bounded() -> None:
    assert bar(None) == bar(0.0) == 0
    assert bar(1.0) == bar(7.0) == BAR_WIDTH
    assert bar(1e-3) == BAR_WIDTH / 2
    assert 0 < bar(BEST / 10) < 2


@pytest.mark.parametrize(
    ("noise", "name"), [(0.0, "good"), (9e-4, "good"), (5e-3, "fair"), (0.01, "poor"), (None, "poor")]
)
def test_grade(noise: float | None, name: str) -> None:
    assert grade(noise) == name
