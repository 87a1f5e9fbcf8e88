"""Ranges that change the distribution least."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint.errors import QuaintError
from quaint.observers.histogram import INT8, HistogramObserver

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.numerics import IntType

    Floats = NDArray[np.float64]

_STEPS = 32  # thresholds tried; also bins in the widest level


class KullbackLeibler(HistogramObserver):
    """The threshold at which the quantized distribution of magnitudes diverges least from the true one.

    Magnitudes up to the largest are counted in 32 bins for each level (4096 for int8). Thresholds of 1 to 32 bins a level
    are tried: the reference holds the tail in its last bin, the candidate the mean of each level over its bins that are not
    empty. The first 0.2 % of the bins count as empty, since they would drown the rest after a ReLU. See S. Migacz, "8-bit
    Inference with TensorRT" (GTC 2017).

    Args:
        axis: as for every observer.
        dtype: the integers to quantize to, of at most 8 bits.
        power_of_two: the threshold's scale is rounded to the nearest power of two.

    Raises:
        QuaintError: QU141 for more than 8 bits, which no histogram of a sensible size resolves.
    """

    def __init__(self, axis: int | None = None, dtype: IntType = INT8, power_of_two: bool = False) -> None:
        super().__init__(axis)
        if dtype.bits > 8:
            raise QuaintError("QU141", f"observer kl cannot resolve {dtype}", hint="use minmax, percentile or mse")
        self._top, self._power_of_two = dtype.high, power_of_two

    def range(self) -> tuple[Floats, Floats]:
        """The extremes, clipped at the best threshold."""
        histogram, (low, high) = self.histogram(), self.extremes()
        limits = np.maximum(-low, high)
        rows = zip(histogram.magnitudes(), histogram.widths, limits, strict=True)
        scale = np.array([self._scale(counts, width, limit) for counts, width, limit in rows])
        return self.clipped(scale * (self._top if self._power_of_two else self._top + 1))

    def _scale(self, counts: NDArray[np.int64], width: float, limit: float) -> float:
        """The best scale of one row."""
        if limit == 0:
            return 0.0
        levels = self._top + 1
        bins = _STEPS * levels
        edges = np.arange(len(counts) + 1) * width
        total = np.interp(np.arange(bins + 1) * (limit / bins), edges, np.append(0, np.cumsum(counts)))
        hidden = int(bins * 0.002)
        magnitudes = np.diff(total)
        magnitudes[:hidden], magnitudes[hidden] = 0, 1
        best = np.argmin([_divergence(magnitudes, n, levels) for n in range(1, _STEPS + 1)])
        scale = float((best + 1) * limit / bins)
        return float(2.0 ** np.floor(np.log2(scale) + 0.5)) if self._power_of_two else scale


def _divergence(magnitudes: Floats, bins_per_level: int, levels: int) -> float:
    """Relative entropy of the magnitudes to themselves, clipped after ``levels`` levels and averaged within each."""
    kept = magnitudes[: bins_per_level * levels]
    true = kept.copy()
    true[-1] += magnitudes.sum() - kept.sum()
    grouped = kept.reshape(levels, bins_per_level)
    filled = grouped > 0
    mean = grouped.sum(axis=1, keepdims=True) / np.maximum(filled.sum(axis=1, keepdims=True), 1)
    coarse = np.where(filled, mean, 0).ravel()
    true, coarse = true / true.sum(), coarse / max(coarse.sum(), 1e-30)
    return float((true * (np.log10(true + 1e-30) - np.log10(coarse + 1e-30))).sum())
