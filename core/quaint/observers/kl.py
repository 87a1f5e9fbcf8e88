"""Ranges that change the distribution least."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint.errors import QuaintError
from quaint.observers.base import INT8
from quaint.observers.histogram import HistogramObserver

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.numerics import IntType

    Floats = NDArray[np.float64]

_FINEST = 64  # bins of each level at the widest threshold; no less than half of them where the histogram has enough


class KL(HistogramObserver):
    """The threshold at which the quantized distribution of magnitudes diverges least from the true one.

    Every threshold that is a whole number of bins a level is tried, for int8 in 32 to 64 steps up to the largest magnitude
    (8 to 16 in each channel if there is an ``axis``). The reference holds the tail in its last bin, the candidate the mean
    of each level over its bins that are not empty. The first 0.2 % of the bins count as empty, since they would drown the
    rest after a ReLU. See S. Migacz, "8-bit Inference with TensorRT" (GTC 2017).

    Args:
        axis: as for every observer.
        dtype: the integers to quantize to, of at most 8 bits.
        power_of_two: the threshold's scale is rounded to the nearest power of two.

    Raises:
        QuaintError: QU141 for more than 8 bits, which no histogram of a sensible size resolves.
    """

    def __init__(self, axis: int | None = None, *, dtype: IntType = INT8, power_of_two: bool = False) -> None:
        super().__init__(axis, dtype=dtype, power_of_two=power_of_two)
        if dtype.bits > 8:
            raise QuaintError("QU141", f"observer kl cannot resolve {dtype}", hint="use minmax, percentile or mse")

    def range(self) -> tuple[Floats, Floats]:
        """The extremes, clipped at the best threshold."""
        histogram, (low, high) = self.histogram(), self.extremes()
        rows = zip(histogram.magnitudes(), histogram.widths, np.maximum(-low, high), strict=True)
        scale = np.array([self._scale(*row) for row in rows])
        return self.clipped(scale * (self.dtype.high + (not self.power_of_two)))

    def _scale(self, counts: NDArray[np.int64], width: float, largest: float) -> float:
        """The best scale of one row."""
        if largest == 0:
            return 0.0
        levels = self.dtype.high + 1
        fold = max(len(counts) // (_FINEST * levels), 1)
        counts, width = counts.reshape(-1, fold).sum(axis=1), width * fold
        steps = int(np.ceil((np.flatnonzero(counts)[-1] + 1) / levels))
        hidden = int(steps * levels * 0.002)
        counts[:hidden], counts[hidden] = 0, 1
        best = np.argmin([_divergence(counts, n, levels) for n in range(1, steps + 1)]) + 1
        scale = min(best * width, largest / levels)
        return float(2.0 ** np.floor(np.log2(scale) + 0.5)) if self.power_of_two else scale


def _divergence(counts: NDArray[np.int64], bins_per_level: int, levels: int) -> float:
    """Relative entropy of the counts to themselves, clipped after ``levels`` levels and averaged within each."""
    kept = counts[: bins_per_level * levels]
    true = kept.copy()
    true[-1] += counts.sum() - kept.sum()
    grouped = kept.reshape(levels, bins_per_level)
    filled = grouped > 0
    mean = grouped.sum(axis=1, keepdims=True) / np.maximum(filled.sum(axis=1, keepdims=True), 1)
    coarse = np.where(filled, mean, 0).ravel()
    p, q = true / true.sum(), coarse / coarse.sum()
    return float((p * (np.log10(p + 1e-30) - np.log10(q + 1e-30))).sum())
