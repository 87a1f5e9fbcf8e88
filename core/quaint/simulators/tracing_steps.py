"""Sums of products times a mantissa, rounded in float32: proven right at the ends of every step of the result.

The product of a sum and a mantissa seldom fits float32. But what becomes of it, rounded and clipped, is a staircase of few
steps over the sums, and so is what float32 operators make of a scale and an offset, since none of them ever decreases. Two
staircases are one if they agree at the first sum of every step and at the sum before it. That is tried for every channel, with
some offsets between one product and the next, and for runtimes that fuse multiplication and addition as for those that do not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from quaint.numerics import Rounding
from quaint.simulators.tracing_blocked import MAGIC, REACH, blockable, one_tap
from quaint.simulators.tracing_graph import Kind, Tensor
from quaint.simulators.tracing_operators import clip
from quaint.simulators.tracing_products import Convolution
from quaint.simulators.tracing_sources import Existing
from quaint.simulators.tracing_values import Clip, limit, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from quaint.simulators.tracing_graph import Graph
    from quaint.simulators.tracing_values import Interval, Traced, Whole

    Ints = NDArray[np.int64]

#: Steps of a result: integers of 8 bits have fewer. Of far more, float32 hardly ever gets all right, and trying takes long.
MOST_STEPS = 1 << 8
#: Results and levels; so the line is right in float64 up to 2**12, with 40 places, of which two are of the offset alone.
_LARGEST, _MOST_BITS = 1 << 10, 38
#: Where the offset is tried, in units of the product's last place, and next to which whole number: ties go to even.
_TRIALS = [(0.5, 0), (0.75, 1), (0.75, 0), (1.5, 0), (0.5, 1), (-0.5, 0)]


@dataclass(frozen=True, eq=False)
class Multiple(Existing):
    """Multiples of sums of products; whoever scales them down again need not use the tensor.

    Args:
        sums: a convolution with bias and limits.
        factor: what it is multiplied by, positive.
    """

    sums: Traced
    factor: Whole


def multiple(x: Traced, factor: Whole, tensor: Tensor, interval: Interval) -> Existing:
    """``tensor``, which holds ``x * factor``: as a ``Multiple`` if it is one of a convolution's sums."""
    source = x.source
    if isinstance(source, Multiple) and not x.settled and not x.bias.any():
        x, factor = source.sums, whole(source.factor * factor)
    sums = isinstance(x.source, Convolution) and not x.bits.any() and not x.offset.any()
    if sums and (factor > 0).all() and limit(factor) <= Kind.FLOAT32.limit and blockable(x, factor):
        return Multiple(tensor, interval, x, factor)
    return Existing(tensor, interval)


@dataclass(frozen=True)
class Stairs:
    """A result as a function of the sum that never decreases; arrays are [channels, 1] unless said otherwise.

    Args:
        factor: of the sum.
        bias: added to the product.
        bits: by which that is shifted right.
        low: the least sum.
        high: the largest.
        lowest: the least result of any channel.
        first: the least sums that give ``lowest + 1`` or more, ``lowest + 2`` or more and so on, [channels, steps].
    """

    factor: Ints
    bias: Ints
    bits: Ints
    low: Ints
    high: Ints
    lowest: int
    first: Ints

    @classmethod
    def of(cls, x: Traced, source: Multiple, results: Interval) -> Stairs:
        """``x`` before its offset, with those results."""
        sums, channels = source.sums.interval, x.shape[1] or 0
        given = (source.factor, x.bias, x.bits, sums.low, sums.high)
        factor, bias, bits, low, high = (_by_channel(array, channels) for array in given)
        lowest, highest = int(results.low[0]), int(results.high[0])
        least = _least(np.arange(lowest + 1, highest + 1), bits, x.rounding)
        return cls(factor, bias, bits, low, high, lowest, -((bias - least) // factor))

    def at(self, sums: Ints) -> Ints:
        """The result for one sum of each channel."""
        return np.asarray(self.lowest + (self.first <= sums).sum(1, keepdims=True))

    def within(self, sums: Traced, limits: Clip) -> Clip:
        """Limits of the result that make those of the sums void, [channels, 1] only where they differ."""
        free = replace(sums, limits=Clip()).interval
        low, high = (_by_channel(bound, len(self.low)) for bound in (free.low, free.high))
        highest = self.lowest + self.first.shape[1]
        return Clip(
            _end(low < self.low, self.at(self.low), self.lowest, limits.low),
            _end(high > self.high, self.at(self.high), highest, limits.high),
        )

    def rows(self, chosen: NDArray[np.bool_]) -> Stairs:
        """Some of the channels."""
        arrays = {name: array[chosen] for name, array in vars(self).items() if name != "lowest"}
        return replace(self, **arrays)


@dataclass(frozen=True)
class Line:
    """``rint(float32(sum - origin) * slope + offset) + level``, where the result has more than one step; [channels, 1]."""

    origin: Ints
    slope: NDArray[np.float32]
    offset: NDArray[np.float32]
    level: Ints

    @classmethod
    def along(cls, stairs: Stairs, place: float, beside: int) -> Line:
        """The line through the stairs, from the middle on, for float32 is finest near zero."""
        bottom, top, step = stairs.at(stairs.low), stairs.at(stairs.high), np.int64(1) << stairs.bits
        middle = ((bottom + top) * step // 2 - stairs.bias) // stairs.factor
        origin = np.clip(middle, stairs.low, stairs.high)
        product = origin * stairs.factor + stairs.bias
        level = (product + step // 2) // step + beside
        flat = bottom == top
        return cls(
            origin,
            np.where(flat, 0, np.ldexp(stairs.factor.astype(np.float64), -stairs.bits)).astype(np.float32),
            np.where(flat, 0, np.ldexp(product - level * step + place, -stairs.bits)).astype(np.float32),
            np.where(flat, bottom, level),
        )

    def follows(self, stairs: Stairs) -> NDArray[np.bool_]:
        """The channels for which it is the result, within its limits, [channels]."""
        results = stairs.lowest + 1 + np.arange(stairs.first.shape[1]) - self.level
        reached, passed = stairs.first <= stairs.high, stairs.first > stairs.low
        right: NDArray[np.bool_] = np.abs(self.level[:, 0]) < _LARGEST
        for value in self._values(np.clip(stairs.first, stairs.low, stairs.high)):
            right &= ((value >= results) | ~reached).all(1)
        for value in self._values(np.clip(stairs.first - 1, stairs.low, stairs.high)):
            right &= ((value < results) | ~passed).all(1)
        return right

    def _values(self, sums: Ints) -> Iterator[NDArray[np.float32]]:
        """Without ``level``: of a multiplication and an addition, and of both in one.

        Those float64 has exactly below 2**12; past that, what it has lies beyond all results too.
        """
        distance = sums - self.origin
        yield np.rint(distance.astype(np.float32) * self.slope + self.offset)
        yield np.rint((distance * self.slope.astype(np.float64) + self.offset).astype(np.float32))

    def patched(self, chosen: NDArray[np.bool_], other: Line) -> Line:
        """Another line for some of the channels."""
        arrays = {name: array.copy() for name, array in vars(self).items()}
        for name, array in arrays.items():
            array[chosen] = getattr(other, name)
        return Line(**arrays)


def by_steps(graph: Graph, x: Traced, source: Multiple) -> Tensor | None:
    """``x`` by a multiplication and an addition in float32, in the blocked layout; None if that is not proven exact."""
    limits, sums = x.limits.moved(-x.offset).needed(x.rounded), source.sums
    results = x.rounded.mapped(limits).hull()
    if not blockable(x) or not _small(x, source, results) or not isinstance(sums.source, Convolution):
        return None
    stairs = Stairs.of(x, source, results)
    line = _proven(stairs)
    if line is None:
        return None
    moved = np.where(line.slope == 0, 0, _by_channel(sums.bias, len(line.level)) - line.origin)
    units = whole(2 * moved).reshape(1, -1, 1, 1)
    if not sums.source.exact(units):
        return None
    value = sums.source.affine(graph, whole(0), units, negate=False)
    value = one_tap(graph, x.shape, value, line.slope, line.offset)
    return _finished(
        graph, x, one_tap(graph, x.shape, value, whole(1), whole(MAGIC)), line, stairs.within(sums, limits)
    )


def _small(x: Traced, source: Multiple, results: Interval) -> bool:
    """Whether all is computed exactly that the proof takes, and soon."""
    few = int(results.high[0]) - int(results.low[0]) <= MOST_STEPS and results.limit < _LARGEST
    places = limit(x.bits) <= _MOST_BITS and limit(x.offset) < REACH // 2
    alike = all(bound is None or bound.size == 1 for bound in (x.limits.low, x.limits.high, x.offset))
    return few and places and alike and source.interval.limit + limit(x.bias) <= Kind.FLOAT64.limit


def _finished(graph: Graph, x: Traced, shifted: str, line: Line, limits: Clip) -> Tensor | None:
    """``shifted``, which is too large by ``MAGIC``, on its level, within limits."""
    low, high = limits.low, limits.high
    if low is not None and low.size > 1:
        return None
    if high is not None and high.size > 1:  # high - relu(high - x): no other clip has a limit for each channel
        above = graph.node("Relu", one_tap(graph, x.shape, shifted, whole(-1), whole(high - line.level + MAGIC)))
        value, high = one_tap(graph, x.shape, above, whole(-1), whole(high + x.offset.ravel())), None
    else:
        value = one_tap(graph, x.shape, shifted, whole(1), whole(line.level + x.offset.ravel() - MAGIC))
    return clip(graph, Tensor(value, Kind.FLOAT32), Clip(low, high).moved(x.offset))


def _proven(stairs: Stairs) -> Line | None:
    """A line that is the result for every channel."""
    line = Line.along(stairs, *_TRIALS[0])
    missing = ~line.follows(stairs)
    for trial in _TRIALS[1:]:
        some = stairs.rows(missing)
        other = Line.along(some, *trial)
        line = line.patched(missing, other)
        missing[missing] = ~other.follows(some)
    return None if missing.any() else line


def _end(cut: NDArray[np.bool_], reached: Ints, extreme: int, given: Whole | None) -> Whole | None:
    """A limit of the result: what it reaches where the sums are ``cut``, else the ``extreme``; None if there is none."""
    if given is None and not cut.any():
        return None
    ends = whole(np.where(cut, reached, extreme))
    return ends if (ends != ends[0]).any() else ends[0]


def _by_channel(array: Whole, channels: int) -> Ints:
    """One number or one a channel, [channels, 1]."""
    return np.broadcast_to(array.ravel(), channels).astype(np.int64)[:, None]


def _least(results: Ints, bits: Ints, rounding: Rounding) -> Ints:
    """The least products that, shifted right by ``bits``, round to ``results`` or more."""
    step = np.int64(1) << bits
    edge = results * step
    match rounding:
        case Rounding.FLOOR:
            past = np.zeros_like(edge)
        case Rounding.CEIL:
            past = 1 - step
        case Rounding.HALF_UP:
            past = -(step // 2)
        case Rounding.HALF_EVEN:
            past = (results % 2) * (bits > 0) - step // 2
        case Rounding.HALF_AWAY:
            past = (results <= 0) * (bits > 0) - step // 2
    return np.asarray(edge + past)
