from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quaint.errors import QuaintError
from quaint.observers.minmax import MinMax, MovingMax

Array = np.ndarray[Any, np.dtype[Any]]

batches = st.lists(hnp.arrays(np.float32, (2, 3, 4), elements=st.floats(-100, 100, width=32)), min_size=1, max_size=6)


@given(batches, st.sampled_from([None, 0, 1, 2, -1]), st.integers(0, 6))
def test_minmax(data: list[Array], axis: int | None, split: int) -> None:
    """The extremes of everything, however it was divided."""
    one, other = MinMax(axis), MinMax(axis)
    for i, batch in enumerate(data):
        (one if i < split else other).observe(batch)
    one.merge(other)
    everything, others = np.stack(data), tuple(i for i in range(1, 4) if axis is None or i != axis % 3 + 1)
    low, high = one.range()
    np.testing.assert_array_equal(low, everything.min((0, *others)))
    np.testing.assert_array_equal(high, everything.max((0, *others)))
    assert (low.dtype, high.dtype) == (np.float64, np.float64)


def test_zero_is_not_forced_into_the_range() -> None:
    observer = MinMax()
    observer.observe(np.array([3.0, 5.0], np.float32))
    assert observer.range() == (3.0, 5.0)


def test_moving_max() -> None:
    observer = MovingMax()
    for peak in (1.0, 2.0, 3.0):
        observer.observe(np.array([-peak / 2, peak], np.float32))
    low, high = observer.range()
    expected = 0.9 * (0.9 * 1 + 0.1 * 2) + 0.1 * 3
    np.testing.assert_allclose([low, high], [-expected / 2, expected])


@given(batches, st.sampled_from([None, 1]), st.integers(0, 6), st.sampled_from([0.5, 0.9]))
def test_moving_max_merges_in_order(data: list[Array], axis: int | None, split: int, momentum: float) -> None:
    whole, one, other = (MovingMax(axis, momentum=momentum) for _ in range(3))
    for i, batch in enumerate(data):
        whole.observe(batch)
        (one if i < split else other).observe(batch)
    one.merge(other)
    np.testing.assert_allclose(one.range(), whole.range(), atol=1e-9)


@pytest.mark.parametrize("observer", [MinMax(), MovingMax()])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(observer: MinMax, value: float) -> None:
    with pytest.raises(QuaintError) as refusal:
        observer.observe(np.array([0, value], np.float32))
    assert refusal.value.code == "QC205"


@pytest.mark.parametrize("observer", [MinMax(), MovingMax()])
def test_nothing_observed(observer: MinMax) -> None:
    with pytest.raises(QuaintError) as refusal:
        observer.range()
    assert refusal.value.code == "QC201"
    with pytest.raises(QuaintError, match="empty"):
        observer.observe(np.zeros((0, 3), np.float32))
