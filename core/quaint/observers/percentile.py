"""Ranges that leave out the outermost values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.observers.histogram import HistogramObserver

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class Percentile(HistogramObserver):
    """From the ``100 - percent`` to the ``percent`` percentile, rounded outwards to an edge of the histogram's bins.

    Args:
        axis: as for every observer.
        percent: of the values that lie below the upper end, 50 to 100.
        grid: ``dtype`` and ``power_of_two``, as for every observer.
    """

    channel_bins = 256

    def __init__(self, axis: int | None = None, *, percent: float = 99.99, **grid: Any) -> None:
        super().__init__(axis, **grid)
        if not 50 <= percent <= 100:
            raise ValueError(f"percent must lie between 50 and 100, not at {percent}")
        self._percent = percent

    def range(self) -> tuple[Floats, Floats]:
        """The percentiles."""
        histogram, (low, high) = self.histogram(), self.extremes()
        bins, widths = histogram.bins, histogram.widths
        below = np.cumsum(histogram.counts, axis=1)
        above = np.cumsum(histogram.counts[:, ::-1], axis=1)
        rank = np.ceil(below[:, -1:] * (self._percent / 100))
        upper = np.argmax(below >= rank, axis=1) - bins
        lower = bins - 1 - np.argmax(above >= rank, axis=1)
        return (
            self.shaped(np.maximum(low, (lower - (lower <= 0)) * widths)),
            self.shaped(np.minimum(high, (upper + (upper >= 0)) * widths)),
        )
