"""Sums in accumulators that saturate, against loops in Python integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rational
from quaint.simulators import saturating
from quaint.simulators.exact import Exact
from strategies import Array, integers, same

k = Exact()
LIMITS = st.integers(0, 40000)


@st.composite
def windows(draw: st.DrawFn) -> tuple[Array, Array, dict[str, Any]]:
    """A map, filters and geometry: depthwise, grouped or plain."""
    group, maps, channels = draw(st.sampled_from([(1, 2, 3), (1, 1, 1), (2, 2, 2), (3, 1, 1), (2, 2, 1)]))
    rank = draw(st.integers(1, 2))
    kernel = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    size = [n + draw(st.integers(2, 3)) for n in kernel]
    small = st.lists(st.integers(1, 2), min_size=rank, max_size=rank)
    pads = draw(st.lists(st.integers(0, 2), min_size=2 * rank, max_size=2 * rank))
    dilations = draw(small) if min(size) >= 5 else [1] * rank
    geometry = {"strides": draw(small), "pads": pads, "dilations": dilations, "group": group}
    x = draw(integers((2, group * channels, *size), 8))
    return x, draw(integers((group * maps, channels, *kernel), 8)), geometry


@given(windows(), st.data())
def test_convolutions(given_: tuple[Array, Array, dict[str, Any]], data: st.DataObject) -> None:
    x, weight, geometry = given_
    start, low, high = (data.draw(integers((len(weight),), 16)) for _ in range(3))
    low, high = np.minimum(low, high), np.maximum(low, high)
    truth = rational.saturating_conv(x, weight, start, low, high, **geometry)
    same(k.saturating_conv(x, weight, start, low=low, high=high, **geometry), truth)
    wide = k.saturating_conv(x, weight, start, low=-(1 << 40), high=1 << 40, **geometry)
    np.testing.assert_array_equal(wide, k.add(k.conv(x, weight, **geometry), start, axis=1))


@given(integers((2, 3, 5), 8), integers((2, 5, 4), 8), integers((4,), 16), LIMITS, LIMITS)
def test_matrix_products(x: Array, y: Array, start: Array, low: int, high: int) -> None:
    made = k.saturating_matmul(x, y, start, low=-low, high=high)
    for sample, row, column in np.ndindex(made.shape):
        products = x[sample, row] * y[sample, :, column]
        assert made[sample, row, column] == rational.saturated(int(start[column]), products, -low, high)
    np.testing.assert_array_equal(k.saturating_matmul(x, y[0], start, low=-low, high=high)[0], made[0])
    np.testing.assert_array_equal(k.saturating_matmul(x[0, 0], y[0], start, low=-low, high=high), made[0, 0])


def test_a_sum_that_saturates_midway_and_comes_back() -> None:
    x, y = np.array([[100, 100, -100]]), np.array([[100], [100], [100]])
    assert k.saturating_matmul(x, y, 0, low=-15000, high=15000).tolist() == [[5000]]
    assert k.saturating_matmul(x, y, 99999, low=-15000, high=15000).tolist() == [[5000]]  # the start saturates too
    assert k.saturating_matmul(x, y, 0, low=-15000, high=20000).tolist() == [[10000]]


def test_many_sums_are_added_up_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    x, weight = random.integers(-128, 128, (2, 8, 5, 5)), random.integers(-128, 128, (6, 8, 3, 3))
    geometry = {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": 1}
    at_once = saturating.conv(x, weight, 0, -9000, 9000, **geometry)
    monkeypatch.setattr(saturating, "CHUNK", 100)
    np.testing.assert_array_equal(saturating.conv(x, weight, 0, -9000, 9000, **geometry), at_once)
    assert (at_once != k.conv(x, weight, **geometry)).any()


def test_sums_beyond_64_bits_are_loud() -> None:
    with pytest.raises(OverflowError):
        k.saturating_matmul(np.full((1, 2), 1 << 31), np.full((2, 1), 1 << 30), 0, low=-9, high=9)
