"""Values of a traced kernel: what is proven of them, and how they come about."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, final, runtime_checkable

import numpy as np

from quaint.numerics import Rounding
from quaint.simulators.tracing_graph import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from quaint.simulators.tracing_graph import Graph, Tensor

    #: Python integers, so that no bound overflows: dtype object.
    Whole = NDArray[Any]
    Shape = tuple[int | None, ...]


def whole(x: Any) -> Whole:
    """``x`` as an array of Python integers, of one axis at least."""
    return np.atleast_1d(np.asarray(x)).astype(object)


def _extreme(x: Whole, choose: Callable[[Any], Any]) -> int:
    return int(choose(x.ravel().tolist()))


@dataclass(frozen=True, eq=False)
class Interval:
    """Proven bounds, both included; scalars, or arrays that broadcast against the tensor."""

    low: Whole
    high: Whole

    @classmethod
    def of(cls, low: Any, high: Any) -> Interval:
        """From anything that holds integers."""
        return cls(whole(low), whole(high))

    @property
    def limit(self) -> int:
        """The largest magnitude."""
        return max(_extreme(self.high, max), -_extreme(self.low, min), 0)

    def hull(self) -> Interval:
        """The same bounds for all elements."""
        return Interval.of(_extreme(self.low, min), _extreme(self.high, max))

    def union(self, other: Interval) -> Interval:
        """Bounds that hold for both, the same for all elements."""
        a, b = self.hull(), other.hull()
        return Interval.of(np.minimum(a.low, b.low), np.maximum(a.high, b.high))

    def __add__(self, other: Interval) -> Interval:
        return Interval.of(self.low + other.low, self.high + other.high)

    def __neg__(self) -> Interval:
        return Interval.of(-self.high, -self.low)

    def __mul__(self, other: Interval) -> Interval:
        corners = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        low, high = corners[0], corners[0]
        for corner in corners[1:]:
            low, high = np.minimum(low, corner), np.maximum(high, corner)
        return Interval.of(low, high)

    def mapped(self, function: Callable[[Whole], Any]) -> Interval:
        """Through a function that does not decrease."""
        return Interval.of(function(self.low), function(self.high))


def limit(constant: Whole) -> int:
    """The largest magnitude in ``constant``."""
    return Interval.of(constant, constant).limit


def divided(x: Whole, divisor: Whole, rounding: Rounding) -> Whole:
    """``round(x / divisor)`` of Python integers."""
    quotient, rest = x // divisor, x % divisor
    match rounding:
        case Rounding.FLOOR:
            up = rest < 0
        case Rounding.CEIL:
            up = rest > 0
        case Rounding.HALF_UP:
            up = 2 * rest >= divisor
        case Rounding.HALF_EVEN:
            up = (2 * rest > divisor) | ((2 * rest == divisor) & (quotient % 2 == 1))
        case Rounding.HALF_AWAY:
            up = (2 * rest > divisor) | ((2 * rest == divisor) & (x >= 0))
    return whole(quotient + np.asarray(up).astype(int))


@runtime_checkable
class Source(Protocol):
    """Whole numbers that are in the graph or can be put there."""

    @property
    def interval(self) -> Interval:
        """Bounds of the numbers."""

    def exact(self, half_units: Whole) -> bool:
        """Whether ``affine`` with these is exact in float32, whatever the order of additions."""

    def affine(self, graph: Graph, bits: Whole, half_units: Whole, *, negate: bool) -> str:
        """``(+-2 * numbers + half_units) * 2**-(bits + 1)`` in float32."""

    def tensor(self, graph: Graph, kind: Kind, /) -> Tensor:
        """The numbers themselves, in ``kind`` or a smaller one."""


class Quotient(Protocol):
    """Real numbers of which the integer part is wanted, computed such that any rounding of them is right."""

    @property
    def interval(self) -> Interval:
        """Bounds of the numbers before they are rounded, widened to whole ones."""

    def real(self, graph: Graph, /) -> Tensor:
        """The numbers, in a float kind."""


@dataclass(frozen=True, eq=False)
class Clip:
    """Limits yet to be applied; None where there is none."""

    low: Whole | None = None
    high: Whole | None = None

    def then(self, low: Whole | None, high: Whole | None) -> Clip:
        """This clip followed by another."""
        return Clip(
            low if self.low is None else _clipped(self.low, low, high),
            high if self.high is None else _clipped(self.high, low, high),
        )

    def moved(self, offset: Whole) -> Clip:
        """The limits of ``x + offset``, those of ``x`` being these."""
        return Clip(*(None if limit is None else whole(limit + offset) for limit in (self.low, self.high)))

    def needed(self, interval: Interval) -> Clip:
        """Only the limits that ``interval`` does not prove void, and no farther out than it is."""
        low = None if self.low is None or (interval.low >= self.low).all() else self.low
        high = None if self.high is None or (interval.high <= self.high).all() else self.high
        if high is not None and high.size > 1:  # what lies wholly below the lower limit is raised to it
            high = np.minimum(high, interval.high if low is None else np.maximum(interval.high, low))
        low = np.maximum(low, interval.low) if low is not None and low.size > 1 else low
        return Clip(low, high)

    def __call__(self, x: Whole) -> Whole:
        """``x`` within the limits."""
        return _clipped(x, self.low, self.high)

    def __bool__(self) -> bool:
        return self.low is not None or self.high is not None


def _clipped(x: Whole, low: Whole | None, high: Whole | None) -> Whole:
    if low is not None:
        x = np.maximum(x, low)
    return whole(x if high is None else np.minimum(x, high))


@final
@dataclass(frozen=True, eq=False)
class Traced:
    """``clip(round((source + bias) * 2**-bits) + offset)``: what is pending is emitted when the value is used.

    Until then, shifts fold into weights, clips merge, and limits that the bounds prove void are left out.

    Args:
        shape: None for the batch.
        source: where the numbers come from. Of a ``Quotient``, only the rounding is pending: bias and bits are 0.
        bias: added to the source, an array that broadcasts against it.
        bits: not negative; broadcasts likewise.
        rounding: what becomes of the fraction.
        offset: added after rounding.
        limits: applied last.
    """

    shape: Shape
    source: Source | Quotient
    bias: Whole = field(default_factory=lambda: whole(0))
    bits: Whole = field(default_factory=lambda: whole(0))
    rounding: Rounding = Rounding.HALF_EVEN
    offset: Whole = field(default_factory=lambda: whole(0))
    limits: Clip = field(default_factory=Clip)

    @property
    def rounded(self) -> Interval:
        """Bounds before offset and clip."""
        sum_ = self.source.interval + Interval.of(self.bias, self.bias)
        power = whole(2 ** whole(self.bits))
        return sum_.mapped(lambda x: divided(x, power, self.rounding))

    @property
    def interval(self) -> Interval:
        """Bounds of the value."""
        return self.rounded.mapped(lambda x: self.limits(whole(x + self.offset)))

    @property
    def settled(self) -> bool:
        """Whether something has been done that later additions come after: a rounding or a clip."""
        return bool((self.bits > 0).any()) or bool(self.limits) or not isinstance(self.source, Source)

    def plus(self, constant: Whole) -> Traced:
        """The value plus a constant that does not change its shape."""
        if not self.settled:
            return replace(self, bias=_sum(self.bias, constant))
        return replace(self, offset=_sum(self.offset, constant), limits=self.limits.moved(constant))

    def clipped(self, low: Whole | None, high: Whole | None) -> Traced:
        """The value within limits."""
        return replace(self, limits=self.limits.then(low, high))


def _sum(x: Whole, y: Whole) -> Whole:
    """``x + y``; ``y`` itself if there is nothing to add, so that a constant given by name keeps it."""
    return whole(x + y) if x.any() else y


@final
@dataclass(frozen=True)
class Real:
    """A tensor of floats: before an input quantizer, after a dequantizer, inside a kernel."""

    shape: Shape
    name: str
    kind: Kind = Kind.FLOAT32
