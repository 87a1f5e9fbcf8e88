"""Ranges with the least squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint.observers.histogram import HistogramObserver

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_THRESHOLDS, _HALVINGS = 128, 12  # how many scales are tried


class MSE(HistogramObserver):
    """The threshold with the least expected squared error: rounding below it, clipping above.

    The integers count as symmetric about zero, up to the highest of ``dtype``. For scales that are powers of two, the first
    that clips nothing and the eleven below it are tried; else 128 thresholds, equally spaced up to the largest magnitude.
    """

    def range(self) -> tuple[Floats, Floats]:
        """The extremes, clipped at the best threshold."""
        histogram, (low, high) = self.histogram(), self.extremes()
        rows = zip(histogram.magnitudes(), histogram.widths, np.maximum(-low, high), strict=True)
        return self.clipped(self.dtype.high * np.array([self._scale(*row) for row in rows]))

    def _scale(self, counts: NDArray[np.int64], width: float, largest: float) -> float:
        """The best scale of one row."""
        if largest == 0:
            return 0.0
        filled, scales = np.flatnonzero(counts), self._scales(largest)
        centres = np.asarray((filled + 0.5) * width, np.float64)
        return float(scales[np.argmin(self._errors(scales[:, None], centres, counts[filled], width))])

    def _scales(self, largest: float) -> Floats:
        """Scales to try, the largest first."""
        if self.power_of_two:
            covering = np.ceil(np.log2(largest / self.dtype.high))
            return np.asarray(2.0 ** (covering - np.arange(_HALVINGS)))
        return np.asarray(largest / self.dtype.high * (np.arange(_THRESHOLDS, 0, -1) / _THRESHOLDS))

    def _errors(self, step: Floats, centre: Floats, counts: NDArray[np.int64], width: float) -> Floats:
        """Expected squared error of each step [tries, 1], the values of a bin taken at its centre."""
        level = np.minimum(np.rint(centre / step), self.dtype.high)
        squared = (centre - level * step) ** 2
        # in steps finer than the bins the centre says nothing about the fraction, which is then uniform
        squared = np.where((step < 2 * width) & (level < self.dtype.high), step**2 / 12, squared)
        return np.asarray(squared @ counts)
