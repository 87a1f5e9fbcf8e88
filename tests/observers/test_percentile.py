from __future__ import annotations

import numpy as np
import pytest

from quaint.observers.percentile import Percentile


@pytest.mark.parametrize("percent", [50, 90, 99, 99.99, 100])
def test_percentile(percent: float) -> None:
    """Off by less than a bin, on the side that keeps the share."""
    x = np.random.default_rng(0).normal(size=(10, 10_000)).astype(np.float32)
    observer = Percentile(percent=percent)
    for batch in x:
        observer.observe(batch)
    low, high = observer.range()
    bin_width = 8 / 8192
    for end, share in ((low, 100 - percent), (high, percent)):
        assert abs(end - np.percentile(x, share, method="inverted_cdf")) <= 2 * bin_width
    assert (x <= high).mean() >= percent / 100
    assert (x >= low).mean() >= percent / 100


def test_outliers_are_left_out() -> None:
    x = np.append(np.linspace(1, 2, 100_000), 1000).astype(np.float32)
    observer = Percentile()
    observer.observe(x)
    low, high = observer.range()
    assert 1.0 <= low < 1.01
    assert 1.99 < high < 2.2


def test_all_of_it_is_the_extremes() -> None:
    x = np.array([-3.7, 0.1, 5.3], np.float32)
    observer = Percentile(percent=100)
    observer.observe(x)
    np.testing.assert_array_equal(observer.range(), [x.min(), x.max()])


@pytest.mark.parametrize("percent", [49, 101])
def test_not_a_percentile(percent: float) -> None:
    with pytest.raises(ValueError, match="between 50 and 100"):
        Percentile(percent=percent)
