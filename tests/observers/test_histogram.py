from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quaint.errors import QuaintError
from quaint.observers.histogram import Histogram, HistogramObserver
from quaint.observers.kl import KL
from quaint.observers.mse import MSE
from quaint.observers.percentile import Percentile

Array = np.ndarray[Any, np.dtype[Any]]

BINS = 16
reals = st.floats(-(2.0**100), 2.0**100, width=32) | st.floats(-2, 2, width=32) | st.just(0.0)
streams = st.lists(
    hnp.arrays(np.float32, st.tuples(st.just(3), st.integers(1, 6) | st.just(40)), elements=reals),
    min_size=1,
    max_size=6,
)  # few values are counted in another way than many


def counted(batches: list[Array]) -> Histogram:
    histogram = Histogram(3, BINS)
    for batch in batches:
        histogram.add(batch, np.abs(batch).max(axis=1).astype(np.float64))
    return histogram


def same(one: Histogram, other: Histogram) -> None:
    np.testing.assert_array_equal(one.counts, other.counts)
    np.testing.assert_array_equal(one.exponents, other.exponents)


@given(streams)
def test_each_value_lies_in_its_bin(batches: list[Array]) -> None:
    histogram, everything = counted(batches), np.concatenate(batches, axis=1).astype(np.float64)
    truth = np.zeros((3, 2 * BINS), np.int64)
    for row, values in enumerate(everything):
        for value in values:
            truth[row, int(np.trunc(value / histogram.widths[row])) + BINS] += 1
    np.testing.assert_array_equal(histogram.counts, truth)


@given(streams)
def test_bins_are_no_wider_than_needed(batches: list[Array]) -> None:
    """The largest magnitude lies in the outer half, unless it is tiny."""
    histogram, largest = counted(batches), np.abs(np.concatenate(batches, axis=1)).max(axis=1).astype(np.float64)
    assert (largest < BINS * histogram.widths).all()
    assert ((largest >= BINS / 2 * histogram.widths) | (histogram.exponents == -100)).all()


@given(streams, st.randoms(use_true_random=False), st.integers(0, 6))
def test_order_and_division_leave_no_trace(batches: list[Array], random: Any, split: int) -> None:
    whole, shuffled = counted(batches), [batch[:, ::-1] for batch in batches]
    random.shuffle(shuffled)
    same(counted(shuffled), whole)
    merged, other = counted(shuffled[:split]), counted(shuffled[split:])
    before = other.counts.copy()
    merged.merge(other)
    same(merged, whole)
    np.testing.assert_array_equal(other.counts, before)
    same(counted([np.concatenate(batches, axis=1)]), whole)


@given(streams)
def test_magnitudes(batches: list[Array]) -> None:
    np.testing.assert_array_equal(
        counted(batches).magnitudes(), counted([np.abs(batch) for batch in batches]).counts[:, BINS:]
    )


def test_memory_does_not_grow() -> None:
    histogram = Histogram(1, BINS)
    for scale in range(100):
        histogram.add(np.full((1, 100), float(scale), np.float32), np.array([float(scale)]))
    assert histogram.counts.shape == (1, 2 * BINS)
    assert histogram.counts.sum() == 100 * 100


def test_more_values_than_one_pass_takes() -> None:
    values = np.random.default_rng(0).normal(size=(1, 200_001)).astype(np.float32)
    histogram = Histogram(1, 1024)
    histogram.add(values, np.abs(values).max(axis=1).astype(np.float64))
    edges = np.arange(-1024, 1025) * histogram.widths[0]
    truth, _ = np.histogram(np.abs(values), edges[1024:])
    np.testing.assert_array_equal(histogram.magnitudes()[0], truth)


OBSERVERS = [Percentile, KL, MSE]
batches_of_maps = st.lists(
    hnp.arrays(np.float32, (2, 2, 3), elements=st.floats(-9, 9, width=32)), min_size=1, max_size=4
)


@pytest.mark.parametrize("kind", OBSERVERS)
@given(data=batches_of_maps, axis=st.sampled_from([None, 1]), split=st.integers(0, 4))
@settings(max_examples=15)
def test_merging_is_observing_both(
    kind: type[HistogramObserver], data: list[Array], axis: int | None, split: int
) -> None:
    whole, one, other = kind(axis), kind(axis), kind(axis)
    for i, batch in enumerate(data):
        whole.observe(batch)
        (one if i < split else other).observe(batch[::-1])
    one.merge(other)
    np.testing.assert_array_equal(one.range(), whole.range())


@pytest.mark.parametrize("kind", OBSERVERS)
def test_channels_are_independent(kind: type[HistogramObserver]) -> None:
    """Vectors along the axis, each entry as if its channel were alone."""
    x = np.random.default_rng(0).normal(size=(4, 3, 500)).astype(np.float32) * np.array(
        [[1], [1e-3], [1e4]], np.float32
    )
    together = kind(axis=1)
    together.observe(x)
    low, high = together.range()
    assert (low.shape, high.shape) == ((3,), (3,))
    for c in range(3):
        alone = kind(axis=1)
        alone.observe(x[:, c : c + 1])
        np.testing.assert_array_equal(alone.range(), [low[c : c + 1], high[c : c + 1]])


@pytest.mark.parametrize("kind", OBSERVERS)
@pytest.mark.parametrize("values", [[0.0, 0.0], [2.5], [-2.5, -2.5], [-1.0, 0.0, 1.0]])
def test_degenerate_data(kind: type[HistogramObserver], values: list[float]) -> None:
    observer = kind()
    observer.observe(np.array(values, np.float32))
    low, high = observer.range()
    assert low.shape == high.shape == ()
    assert -2.5 <= low <= high <= 2.5
    assert max(-low, high) <= max(abs(v) for v in values)


@pytest.mark.parametrize("kind", OBSERVERS)
def test_nothing_observed(kind: type[HistogramObserver]) -> None:
    with pytest.raises(QuaintError) as refusal:
        kind().range()
    assert refusal.value.code == "QC201"
