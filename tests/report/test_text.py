"""Numbers as people read them."""

from __future__ import annotations

import pytest

from quaint.report import text


@pytest.mark.parametrize(
    ("number", "expected"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 << 20, "3.0 MiB"), (5 << 30, "5,120.0 MiB")],
)
def test_size(number: int | None, expected: str) -> None:
    assert text.size(number) == expected


def test_shares() -> None:
    assert (text.noise(0.0012345), text.percent(0.5), text.count(1234567)) == ("0.123%", "50.00%", "1,234,567")
    assert (text.noise(None), text.percent(None), text.count(None)) == ("-", "-", "-")


@pytest.mark.parametrize(
    ("scale", "expected"),
    [(0.125, "2^-3"), (1.0, "2^0"), (0.3, "0.3"), ([0.5, 0.25, 0.5], "2^-2 to 2^-1"), ([2.0], "2^1")],
)
def test_scale(scale: float | list[float], expected: str) -> None:
    assert text.scale(scale) == expected
