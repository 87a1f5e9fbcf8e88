"""Ranges from the extremes of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from quaint.errors import QuaintError
from quaint.needs import Needs
from quaint.observers.base import Observer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Floats = NDArray[np.float64]


def extremes(batch: Array, axis: int | None) -> tuple[Floats, Floats]:
    """The lowest and highest values, vectors with an entry for each index of ``axis`` (one in all for None).

    Raises:
        QuaintError: QC205 if one is not finite; QC201 if there are none.
    """
    if not batch.size:
        raise QuaintError("QC201", "an empty batch")
    low, high = (np.atleast_1d(_reduced(f, batch, axis).astype(np.float64)) for f in (np.minimum, np.maximum))
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise QuaintError("QC205", "values that are infinite or not numbers")
    return low, high


def _reduced(combine: np.ufunc, batch: Array, axis: int | None) -> Array:
    """All axes but one; the first one first, which is whole rows of memory at a time."""
    if axis is None:
        return np.asarray(combine.reduce(batch, axis=None))
    rows = batch if axis % batch.ndim == 0 else combine.reduce(batch, axis=0, keepdims=True)
    return np.asarray(combine.reduce(rows, axis=tuple(i for i in range(batch.ndim) if i != axis % batch.ndim)))


class MinMax(Observer):
    """From the lowest to the highest value ever seen: nothing is clipped."""

    needs = Needs.EXTREMES
    _low: Floats | None = None
    _high: Floats | None = None

    def observe(self, batch: Array) -> None:
        """Widen the range to the batch."""
        self._widen(*extremes(batch, self.axis))

    def merge(self, other: Self) -> None:
        """Widen the range to what ``other`` saw; the order does not matter."""
        if other._low is not None and other._high is not None:
            self._widen(other._low, other._high)

    def range(self) -> tuple[Floats, Floats]:
        """The extremes."""
        low, high = self.extremes()
        return self.shaped(low), self.shaped(high)

    def extremes(self) -> tuple[Floats, Floats]:
        """The lowest and highest value of each row."""
        if self._low is None or self._high is None:
            raise QuaintError("QC201", "no samples were observed", hint="give at least one sample")
        return self._low, self._high

    def _widen(self, low: Floats, high: Floats) -> None:
        self._low = low if self._low is None else np.minimum(self._low, low)
        self._high = high if self._high is None else np.maximum(self._high, high)


class MovingMax(Observer):
    """Moving average of each batch's extremes; it starts at those of the first batch, and depends on the order.

    Args:
        axis: as for every observer.
        momentum: how much of the range stays at each batch: ``range = momentum * range + (1 - momentum) * batch``.
        grid: ``dtype`` and ``power_of_two``, as for every observer.
    """

    needs, by_batch = Needs.EXTREMES, True

    def __init__(self, axis: int | None = None, *, momentum: float = 0.9, **grid: Any) -> None:
        super().__init__(axis, **grid)
        self._momentum, self._batches = momentum, 0
        self._first = self._range = np.zeros((2, 1))  # low and high of each row

    def observe(self, batch: Array) -> None:
        """Move the range towards the batch's."""
        seen = np.stack(extremes(batch, self.axis))
        if not self._batches:
            self._first = self._range = seen
        else:
            self._range = self._momentum * self._range + (1 - self._momentum) * seen
        self._batches += 1

    def merge(self, other: Self) -> None:
        """As if the batches of ``other`` had been observed after one's own.

        The average is linear: ``other`` gave its first batch the weight that the range until then should have kept.
        """
        if not self._batches:
            self._first, self._range = other._first, other._range
        elif other._batches:
            self._range = self._momentum**other._batches * (self._range - other._first) + other._range
        self._batches += other._batches

    def range(self) -> tuple[Floats, Floats]:
        """The moving averages."""
        if not self._batches:
            raise QuaintError("QC201", "no samples were observed", hint="give at least one sample")
        low, high = self._range
        return self.shaped(low), self.shaped(high)
