"""Histograms of streams: as small for a million samples as for one, and the same in whatever order they come.

A bin is ``2**exponent`` wide and holds ``trunc(x / width)``. If a value lies outside, the width doubles as often as it
takes, and bins merge: ``trunc(trunc(x / w) / 2) == trunc(x / 2w)``, so the result is what the final width would have given
from the start. Scaling by a power of two is exact in float32; nothing is interpolated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from quaint.needs import Needs, Thinning
from quaint.observers.minmax import MinMax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_CHUNK = 1 << 16  # values at a time: the passes over them then stay in the cache
_NARROWEST = -100  # exponent: float32 can still scale by its inverse


class Histogram:
    """One histogram for each of some rows, each with its own width of bins.

    Args:
        rows: how many.
        bins: a power of two, on either side of zero.

    Attributes:
        counts: int64 [rows, 2 * bins]; ``counts[:, bins + i]`` for the values with ``trunc(x / width) == i``.
        exponents: int64 [rows]; log2 of the widths.
    """

    def __init__(self, rows: int, bins: int) -> None:
        self.bins = bins
        self.counts = np.zeros((rows, 2 * bins), np.int64)
        self.exponents = np.full(rows, _NARROWEST, np.int64)

    @property
    def widths(self) -> Floats:
        """Width of the bins of each row; bin 0 is twice as wide, from ``-width`` to ``width``."""
        return np.ldexp(np.ones(len(self.exponents)), self.exponents)

    def add(self, values: Array, limits: Floats) -> None:
        """Count float32 ``values`` [rows, n], the magnitudes of a row being at most its entry in ``limits``."""
        _, exponents = np.frexp(np.maximum(limits, 2.0**_NARROWEST))
        self._widen(exponents - (self.bins.bit_length() - 1))
        scales = np.ldexp(np.ones(len(values), np.float32), -self.exponents)
        size = values.shape[1]
        rows = max(_CHUNK // max(size, 1), 1)
        for first in range(0, len(values), rows):
            block = slice(first, first + rows)
            for start in range(0, size, _CHUNK):
                index = (values[block, start : start + _CHUNK] * scales[block, None]).astype(np.intp)
                self._count(self.counts[block], index)

    def _count(self, counts: Ints, index: Ints) -> None:
        """Count some values of each row, ``index`` [rows, n], in ``counts`` [rows, 2 * bins]."""
        index += self.bins + np.arange(len(index))[:, None] * 2 * self.bins
        if 4 * index.size < counts.size:
            np.add.at(counts.reshape(-1), index.reshape(-1), 1)
        else:
            counts += np.bincount(index.reshape(-1), minlength=counts.size).reshape(counts.shape)

    def merge(self, other: Histogram) -> None:
        """Add the counts of ``other``: the same as counting its values here."""
        self._widen(other.exponents)
        wider = Histogram(len(other.exponents), other.bins)
        wider.counts, wider.exponents = other.counts.copy(), other.exponents.copy()
        wider._widen(self.exponents)
        self.counts += wider.counts

    def magnitudes(self) -> Ints:
        """Counts of ``trunc(|x| / width)``, int64 [rows, bins]."""
        folded = self.counts[:, self.bins :].copy()
        folded[:, 1:] += self.counts[:, self.bins - 1 : 0 : -1]
        return folded

    def _widen(self, exponents: Ints) -> None:
        """Merge bins until no row's width lies below ``2**exponents``."""
        steps = np.minimum(np.maximum(exponents - self.exponents, 0), self.bins.bit_length() - 1)
        for step in np.unique(steps[steps > 0]):
            rows = np.flatnonzero(steps == step)
            self.counts[rows] = self._merged(self.counts[rows], 1 << int(step))
        self.exponents = np.maximum(self.exponents, exponents)

    def _merged(self, counts: Ints, width: int) -> Ints:
        """Counts of some rows with ``width`` bins joined to one, bin 0 being in the middle."""
        bins, kept = self.bins, self.bins // width
        above, below = counts[:, bins:], counts[:, bins:0:-1].copy()
        below[:, 0] = 0  # bin 0 counts as above
        high, low = (half.reshape(len(counts), kept, width).sum(axis=2) for half in (above, below))
        merged = np.zeros_like(counts)
        merged[:, bins : bins + kept] = high
        merged[:, bins] += low[:, 0]
        merged[:, bins - kept + 1 : bins] = low[:, :0:-1]
        return merged


class HistogramObserver(MinMax):
    """Base of the observers that clip: extremes and a histogram of everything seen.

    The histogram has 8192 bins on either side of zero; ``channel_bins`` in each channel if there is an ``axis``. Of a large
    sample it counts a part, see ``quaint.needs.Thinning``; the extremes are those of all values.
    """

    needs = Needs.PART
    channel_bins: ClassVar[int] = 2048
    _histogram: Histogram | None = None

    def observe(self, batch: Array, part: Array | None = None) -> None:
        """Widen the range to a batch and count its values; those in ``part`` alone if it is given. Reals as float32."""
        batch = np.asarray(batch, np.float32)
        super().observe(batch)
        if part is None:
            part = self._thinned(batch)
        values = self.rows(part)
        if self._histogram is None:
            self._histogram = Histogram(len(values), 8192 if self.axis is None else self.channel_bins)
        low, high = self.extremes()
        self._histogram.add(values, np.maximum(-low, high))

    def merge(self, other: Self) -> None:
        """The same as observing what ``other`` has seen, in any order."""
        super().merge(other)
        if other._histogram is None:
            return
        if self._histogram is None:
            self._histogram = Histogram(len(other._histogram.exponents), other._histogram.bins)
        self._histogram.merge(other._histogram)

    def histogram(self) -> Histogram:
        """What was counted."""
        self.extremes()  # refuses if there is nothing
        assert self._histogram is not None
        return self._histogram

    def _thinned(self, batch: Array) -> Array:
        """Those values that are counted; all where an axis other than that of channels counts on its own."""
        by_channel = self.axis is not None
        if by_channel and self.axis != 1:
            return batch
        return Thinning.of(batch.shape[1:], by_channel=by_channel).apply(batch, by_channel=by_channel)

    def clipped(self, threshold: Floats) -> tuple[Floats, Floats]:
        """The extremes with magnitudes limited to ``threshold``, and the larger of both set to it."""
        low, high = self.extremes()
        return (
            self.shaped(np.where(-low >= high, -threshold, np.clip(low, -threshold, threshold))),
            self.shaped(np.where(high >= -low, threshold, np.clip(high, -threshold, threshold))),
        )
