"""What property tests share: arrays of integers, and exact comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Array = np.ndarray[Any, np.dtype[Any]]


def integers(shape: tuple[int, ...], bits: int) -> st.SearchStrategy[Array]:
    """int64 arrays of signed integers of ``bits`` bits, the extremes often among them."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    values = st.integers(low, high) | st.sampled_from([low, high, 0])
    return hnp.arrays(np.int64, shape, elements=values)


def same(result: Array, truth: Array) -> None:
    """``result`` is int64 and equals Python integers, or an array of them."""
    assert result.dtype == np.int64
    np.testing.assert_array_equal(result.astype(object), truth)
