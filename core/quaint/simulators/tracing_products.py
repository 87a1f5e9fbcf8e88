"""Sums of products that are exact in floating point because no partial sum can leave the exact range.

A float32 convolution of whole numbers gives the integer that a chip gives, in whatever order it adds, if the terms of one
sign never add up to more than 2**24. Where they might, the numbers are split into pieces of fewer bits (and the sums into
fewer terms), each piece is convolved in float32, and the pieces are put together in float64 or int64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.simulators.tracing_graph import Kind, Tensor, Untraceable
from quaint.simulators.tracing_values import Interval, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from quaint.simulators.tracing_graph import Graph
    from quaint.simulators.tracing_values import Whole

    Ints = NDArray[np.int64]
    Rows = Callable[[Ints], Ints]

#: How often numbers are cut in pieces and sums in parts before giving up; 16-bit numbers need two, 32-bit ones four.
_PIECES, _PARTS = (1, 2, 3, 4), (1, 2, 4, 8, 16)


def partial_sums(rows: Ints, low: Ints, high: Ints) -> Interval:
    """What subsets of the terms of each row can add up to, shape [rows].

    Args:
        rows: [rows, terms], the weights of each sum.
        low: bounds of what they are multiplied with, broadcasting against ``rows``.
        high: likewise.

    Raises:
        Untraceable: if the sums might not fit 64 bits.
    """
    largest = max(abs(int(bound)) for bound in (low.min(), high.max()))
    if max(int(rows.max()), -int(rows.min()), 1) * max(largest, 1) * rows.shape[1] >= 1 << 63:
        raise Untraceable("a sum of products may not fit 64 bits")
    first, second = rows * low, rows * high
    negative = np.minimum(np.minimum(first, second), 0).sum(1)
    return Interval.of(negative, np.maximum(np.maximum(first, second), 0).sum(1))


def within_float32(sums: Interval, half_units: Whole) -> bool:
    """Whether partial sums and one more term, in halves of a unit, stay exact in float32 in any order."""
    unit = 1 if (half_units % 2 == 0).all() else 2  # whole units need no bit for a half
    term = half_units * unit // 2
    bounds = Interval.of(unit * sums.low + np.minimum(term, 0), unit * sums.high + np.maximum(term, 0))
    return bounds.limit <= Kind.FLOAT32.limit


def pieces(interval: Interval, count: int) -> list[tuple[int, Interval]]:
    """Cut integers of ``interval`` into ``count`` digits: (place of the lowest bit, bounds of the digit)."""
    bits = max(interval.limit.bit_length(), 1)
    width = -(-bits // count)
    digits = [(width * i, Interval.of(0, (1 << width) - 1)) for i in range(count - 1)]
    top = width * (count - 1)
    return [*digits, (top, interval.hull().mapped(lambda x: x >> top))]


def digit(array: Ints, place: int, following: int | None) -> Ints:
    """The digit of ``array`` from bit ``place`` up to bit ``following`` (None: the rest, with the sign)."""
    shifted = array >> place
    return shifted if following is None else shifted & ((1 << (following - place)) - 1)


def emit_digit(graph: Graph, x: Tensor, place: int, following: int | None) -> Tensor:
    """The digit of the traced ``x``, in float32."""

    def shifted(bits: int) -> str:
        if not bits:
            return x.name
        return graph.node("Floor", graph.node("Mul", x.name, graph.constant(x.kind.dtype.type(2.0**-bits))))

    name = shifted(place)
    if following is not None:
        above = graph.node("Mul", shifted(following), graph.constant(x.kind.dtype.type(2.0 ** (following - place))))
        name = graph.node("Sub", name, above)
    return graph.converted(Tensor(name, x.kind), Kind.FLOAT32)


@dataclass(frozen=True)
class Part:
    """One float32 convolution of a split: digits of both factors, and which input channels take part."""

    x_place: int
    x_next: int | None
    w_place: int
    w_next: int | None
    channels: tuple[int, int, int]  #: axis of the weight, begin, end
    limit: int = 0  #: the largest magnitude of its partial sums

    @property
    def place(self) -> int:
        """Where the lowest bit of the products lies."""
        return self.x_place + self.w_place

    def weight(self, array: Ints) -> Ints:
        """The digit of the weights, zero outside the channels."""
        axis, begin, end = self.channels
        chosen = np.zeros_like(array)
        index = (slice(None),) * axis + (slice(begin, end),)
        chosen[index] = digit(array[index], self.w_place, self.w_next)
        return chosen


@dataclass(frozen=True, eq=False)
class Convolution:
    """``Conv`` or ``ConvTranspose`` of a traced tensor, not yet emitted.

    Args:
        op: the operator.
        x: the input, in a float kind.
        x_interval: its bounds.
        weight: integers, int64.
        given: the same as they were given.
        rows: the weights of each output map as a row.
        channel_axis: the axis of the weight that is summed over and can be cut.
        attributes: of the operator.
    """

    op: str
    x: Tensor
    x_interval: Interval
    weight: Ints
    given: NDArray[Any]
    rows: Rows
    channel_axis: int
    attributes: Mapping[str, Any]

    @cached_property
    def interval(self) -> Interval:
        """Bounds of the sums, and of their partial sums: at the borders any subset of the terms may be the whole."""
        sums = partial_sums(self.rows(self.weight), *_bounds(self.x_interval))
        shape = (1, -1) + (1,) * (self.weight.ndim - 2)
        return Interval.of(sums.low.reshape(shape), sums.high.reshape(shape))

    def checked(self) -> Convolution:
        """This one.

        Raises:
            Untraceable: if it cannot be made of exact parts.
        """
        if not self.exact(whole(0)):
            Kind.holding(sum(part.limit << part.place for part in self._parts))
        return self

    def exact(self, half_units: Whole) -> bool:
        """Whether one float32 convolution does it."""
        return self.x.kind is Kind.FLOAT32 and self._per_map(half_units) and within_float32(self.interval, half_units)

    def _per_map(self, constant: Whole) -> bool:
        """Whether ``constant`` is one number, or one a map."""
        return constant.size == 1 or constant.shape == self.interval.low.shape

    def affine(self, graph: Graph, bits: Whole, half_units: Whole, *, negate: bool) -> str:
        """See ``Source``."""
        scale = (-1.0 if negate else 1.0) * np.exp2(-bits.astype(np.float64))
        bias = half_units.astype(np.float64) * np.exp2(-1.0 - bits.astype(np.float64))
        inputs = [self.x.name, graph.constant((self.weight * self._over_maps(scale)).astype(np.float32))]
        if bias.any():
            maps = self.interval.low.size
            inputs.append(graph.constant(np.broadcast_to(bias.ravel(), maps).astype(np.float32)))
        return graph.node(self.op, *inputs, **self.attributes)

    def _over_maps(self, scale: NDArray[np.float64]) -> NDArray[np.float64]:
        """``scale`` of the maps, laid against the weight."""
        if scale.size == 1:
            return scale.reshape(())
        if self.op == "Conv":
            return scale.reshape(-1, *[1] * (self.weight.ndim - 1))
        group, per_group = self.attributes["group"], self.weight.shape[1]
        repeated = np.repeat(scale.reshape(group, per_group), self.weight.shape[0] // group, axis=0)
        return repeated.reshape(*self.weight.shape[:2], *[1] * (self.weight.ndim - 2))

    def tensor(self, graph: Graph, kind: Kind) -> Tensor:
        """The sums; from parts where float32 cannot hold them all."""
        if self.exact(whole(0)):
            weight = graph.whole(self.given, Kind.FLOAT32)
            return Tensor(graph.node(self.op, self.x.name, weight, **self.attributes), Kind.FLOAT32)
        parts = self._parts
        kind = max(kind, Kind.holding(sum(part.limit << part.place for part in parts)), key=lambda kind: kind.limit)
        terms = [self._part(graph, part, kind) for part in parts]
        return Tensor(reduce(lambda x, y: graph.node("Add", x, y), terms), kind)

    def _part(self, graph: Graph, part: Part, kind: Kind) -> str:
        x = emit_digit(graph, self.x, part.x_place, part.x_next)
        weight = part.weight(self.weight)
        chosen = self.given if np.array_equal(weight, self.weight) else _narrow(weight)
        name = graph.node(self.op, x.name, graph.whole(chosen, Kind.FLOAT32), **self.attributes)
        name = graph.cast(name, kind)
        return name if not part.place else graph.node("Mul", name, graph.constant(kind.dtype.type(1 << part.place)))

    @cached_property
    def _parts(self) -> tuple[Part, ...]:
        """The cheapest split in which every part is exact."""
        if self.x.kind is Kind.INT64:
            raise Untraceable("a convolution of numbers beyond 2**53")
        choices = [(nx, nw, parts) for nx in _PIECES for nw in _PIECES for parts in _PARTS]
        for nx, nw, parts in sorted(choices, key=math.prod):
            split = tuple(self._split(nx, nw, parts))
            if all(part.limit <= Kind.FLOAT32.limit for part in split):
                return split
        raise Untraceable("a convolution of too many or too large numbers")

    def _split(self, nx: int, nw: int, parts: int) -> Iterator[Part]:
        """The parts of one way to split."""
        channels = self.weight.shape[self.channel_axis]
        edges = [channels * i // parts for i in range(parts + 1)]
        weights = Interval.of(self.weight.min(), self.weight.max())
        xs, ws = pieces(self.x_interval, nx), pieces(weights, nw)
        for i, (x_place, x_bounds) in enumerate(xs):
            for j, (w_place, _) in enumerate(ws):
                for begin, end in pairwise(edges):
                    x_next = xs[i + 1][0] if i + 1 < nx else None
                    w_next = ws[j + 1][0] if j + 1 < nw else None
                    part = Part(x_place, x_next, w_place, w_next, (self.channel_axis, begin, end))
                    sums = partial_sums(self.rows(part.weight(self.weight)), *_bounds(x_bounds))
                    yield replace(part, limit=sums.limit)


def _narrow(array: Ints) -> NDArray[Any]:
    """``array`` in the narrowest type that holds it."""
    return array.astype(np.promote_types(np.min_scalar_type(array.min()), np.min_scalar_type(array.max())))


def _bounds(interval: Interval) -> tuple[Ints, Ints]:
    """Bounds as int64, the same for all terms."""
    hull = interval.hull()
    return hull.low.astype(np.int64), hull.high.astype(np.int64)
