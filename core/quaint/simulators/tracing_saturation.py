"""Sums that saturate after every addition, without a loop.

Adding ``a`` and clipping to ``[l, h]`` is a function of the running total, and two such functions in a row are one again:
``clip(clip(t + a1, l1, h1) + a2, l2, h2) = clip(t + a1 + a2, clip(l1 + a2, l2, h2), clip(h1 + a2, l2, h2))``. So the functions
of neighbouring terms are joined pairwise until one is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from quaint.simulators.tracing_graph import Graph, Kind


@dataclass(frozen=True)
class Saturation:
    """Emits one saturating sum over the last axis.

    Args:
        graph: where to.
        kind: holds the sum of all magnitudes and the limits.
        low: lower limit.
        high: upper limit.
    """

    graph: Graph
    kind: Kind
    low: int
    high: int

    def sum(self, terms: str, count: int) -> str:
        """The sum of ``count`` terms along the last axis, which becomes 1."""
        total, low, high = terms, self._number(self.low), self._number(self.high)
        same = True  # the limits are still those of all terms
        while count > 1:
            if count % 2:
                total = self._padded(total, 0)
                low, high = (low, high) if same else (self._padded(low, self.low), self._padded(high, self.high))
                count += 1
            (first, second), lows, highs = self._pairs(total), [low] * 2, [high] * 2
            if not same:
                lows, highs = self._pairs(low), self._pairs(high)
            low, high = (
                self._clip(self.graph.node("Add", limit, second), lows[1], highs[1]) for limit in (lows[0], highs[0])
            )
            total, same, count = self.graph.node("Add", first, second), False, count // 2
        return self._clip(total, low, high)

    def _clip(self, x: str, low: str, high: str) -> str:
        return self.graph.node("Min", self.graph.node("Max", x, low), high)

    def _number(self, value: int) -> str:
        return self.graph.constant(np.asarray([value], self.kind.dtype))

    def _pairs(self, x: str) -> list[str]:
        """Every second element, from the first and from the second on."""
        return [self.graph.node("Slice", x, *self._indices(start, np.iinfo(np.int64).max, -1, 2)) for start in (0, 1)]

    def _indices(self, *values: int) -> list[str]:
        return [self.graph.constant(np.asarray([value], np.int64)) for value in values]

    def _padded(self, x: str, value: int) -> str:
        """``x`` with ``value`` as one more element."""
        pads, number = np.asarray([0, 1], np.int64), np.asarray(value, self.kind.dtype)
        return self.graph.node("Pad", x, self.graph.constant(pads), self.graph.constant(number), *self._indices(-1))
