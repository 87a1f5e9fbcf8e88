"""Products in accumulators that saturate after every product, traced.

Where bounds prove that no partial sum can leave the limits, they are plain products. Where they do not, the graph looks at the
data: almost always it shows that none does, and the plain sums are taken; else ``tracing_accumulators`` adds them in order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.simulators.tracing_accumulators import Accumulator, Branch, conv_in_order, matmul_in_order, reach_above
from quaint.simulators.tracing_core import broadcast
from quaint.simulators.tracing_elementwise import Elementwise
from quaint.simulators.tracing_graph import Kind, Tensor, Untraceable
from quaint.simulators.tracing_sources import MatrixProduct
from quaint.simulators.tracing_values import Interval, Traced, limit, whole
from quaint.simulators.tracing_windows import Windows, spatial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Constant
    from quaint.simulators.tracing_values import Shape, Whole


class Saturating(Windows, Elementwise):
    """Matrix products, and sums of products in narrow accumulators."""

    def matmul(self, x: Traced, y: Traced | Constant) -> Traced:
        """Matrix product over the last axis of ``x`` and the last but one of ``y``."""
        terms = x.shape[-1]
        if terms is None:
            raise Untraceable("a sum of unknown length")
        if isinstance(y, Traced):
            shape = (*broadcast(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1])
            traced, bounds, given = self.tensor(y), y.interval, None
        else:
            given, traced, bounds = np.asarray(y), None, Interval.of(0, 0)
            leading = x.shape[:-1] if given.ndim == 2 else (*broadcast(x.shape[:-2], given.shape[:-2]), x.shape[-2])
            shape = (*leading, given.shape[-1])
        weight = None if given is None else given.astype(np.int64)
        source = MatrixProduct(self.tensor(x), x.interval, traced, bounds, weight, given, terms)
        Kind.holding(source.interval.limit)
        return Traced(shape, source)

    def saturating_conv(
        self,
        x: Traced,
        weight: Constant,
        start: Constant,
        *,
        low: Constant,
        high: Constant,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        group: int,
    ) -> Traced:
        """A convolution; see ``tracing_accumulators.conv_in_order``."""
        attributes = {"strides": [*strides], "pads": [*pads], "dilations": [*dilations], "group": group}
        plain = self.conv(x, weight, strides=strides, pads=pads, dilations=dilations, group=group)
        accumulator, start = self._accumulator(start, low, high, len(x.shape), 1)
        total = self._plus(plain, start)
        if self._cannot_saturate(plain, accumulator):
            return total
        filters = np.asarray(weight)
        rooms = _rooms(filters.astype(object), accumulator, negative=bool((x.interval.low < 0).any()))
        risk = self._norms_above(x, filters.shape, rooms, attributes)
        kind = self._stepping(x.interval, Interval.of(filters.min(), filters.max()), accumulator)
        factors = self._as(x, kind), self.graph.whole(filters, kind)

        def in_order(branch: Branch) -> str:
            return conv_in_order(branch, *factors, accumulator, filters.shape, spatial(plain.shape), attributes)

        def second_look(branch: Branch) -> str:
            return reach_above(branch, *factors, self.tensor(total).name, accumulator, attributes)

        reach = whole(x.interval.limit * np.abs(filters.astype(object)).sum(axis=tuple(range(1, filters.ndim))))
        exact = kind is Kind.FLOAT32 and limit(reach) <= kind.limit
        return self._either(risk, total, kind, in_order, accumulator, second_look if exact else None)

    def saturating_matmul(
        self, x: Traced, y: Traced | Constant, start: Constant, *, low: Constant, high: Constant
    ) -> Traced:
        """A matrix product; see ``tracing_accumulators.matmul_in_order``."""
        plain = self.matmul(x, y)
        accumulator, start = self._accumulator(start, low, high, len(plain.shape), len(plain.shape) - 1)
        total = self._plus(plain, start)
        if self._cannot_saturate(plain, accumulator):
            return total
        if len(x.shape) == 1:
            raise Untraceable("a saturating product with a vector")
        second = y if isinstance(y, Traced) else np.asarray(y)
        reach = self._reach(x, second, plain.shape)
        sides = (
            self._plus(self.add(reach, plain), whole(2 * (accumulator.start - accumulator.high))),
            self._plus(self.subtract(reach, plain), whole(2 * (accumulator.low - accumulator.start))),
        )
        risk = self._any_positive(self.tensor(self.maximum(*sides)))
        bounds = second.interval if isinstance(second, Traced) else Interval.of(second.min(), second.max())
        kind = self._stepping(x.interval, bounds, accumulator)
        other = self._as(second, kind) if isinstance(second, Traced) else self.graph.whole(second, kind)
        factors = self._as(x, kind), other
        ranks = len(x.shape), len(second.shape)
        return self._either(
            risk, total, kind, lambda branch: matmul_in_order(branch, *factors, accumulator, ranks), accumulator
        )

    def _accumulator(
        self, start: Constant, low: Constant, high: Constant, rank: int, axis: int
    ) -> tuple[Accumulator, Whole]:
        """Constants laid along ``axis``, and the start, which is the given one if it lies within the limits."""
        given, least, most = (self._whole(np.atleast_1d(constant), rank, axis) for constant in (start, low, high))
        clipped = whole(np.clip(given, least, most))
        given = given if (given == clipped).all() and given.shape == clipped.shape else clipped
        return Accumulator(given, least, most), given

    def _cannot_saturate(self, plain: Traced, accumulator: Accumulator) -> bool:
        """Whether the bounds of partial sums lie within the limits."""
        sums = plain.source.interval
        above = (accumulator.start + np.maximum(sums.high, 0) > accumulator.high).any()
        return not (above or (accumulator.start + np.minimum(sums.low, 0) < accumulator.low).any())

    def _stepping(self, x: Interval, y: Interval, accumulator: Accumulator) -> Kind:
        """What holds an accumulator and one more product."""
        kind = Kind.holding(x.limit * y.limit + max(limit(accumulator.low), limit(accumulator.high)))
        if kind is Kind.INT64:
            raise Untraceable("an accumulator beyond 2**53")
        return kind

    def _norms_above(
        self, x: Traced, shape: Sequence[int], rooms: NDArray[np.float32], attributes: dict[str, Any]
    ) -> str:
        """Whether a window's sum of squares passes its limit; in float32, as fast as a convolution with one filter."""
        group = attributes["group"]
        value = self.graph.converted(self.tensor(x), Kind.FLOAT32).name
        ones = self.graph.constant(np.ones((group, *shape[1:]), np.float32))
        norms = self.graph.node("Conv", self.graph.node("Mul", value, value), ones, **attributes)
        limits = self.graph.constant(rooms.reshape(group, -1).min(1).reshape(1, group, *[1] * (len(shape) - 2)))
        return self._any_positive(
            Tensor(self.graph.cast(self.graph.node("Greater", norms, limits), Kind.FLOAT32), Kind.FLOAT32)
        )

    def _any_positive(self, x: Tensor) -> str:
        """One truth value."""
        if x.kind is Kind.INT64:
            raise Untraceable("a comparison of sums beyond 2**53")
        largest = self.graph.node("ReduceMax", x.name, keepdims=0)
        return self.graph.node("Greater", largest, self.graph.constant(np.zeros((), x.kind.dtype)))

    def _reach(self, x: Traced, y: Traced | NDArray[Any], shape: Shape) -> Traced:
        """The sums of the magnitudes of all products."""
        if isinstance(y, Traced):
            return self.matmul(self._magnitudes(x), self._magnitudes(y))
        interval = Interval.of(0, x.interval.limit * np.abs(y.astype(object)).sum(-2))
        kind = Kind.holding(interval.limit)
        factors = self._as(self._magnitudes(x), kind), self.graph.node("Abs", self.graph.whole(y, kind))
        return self.made(shape, Tensor(self.graph.node("MatMul", *factors), kind), interval.hull())

    def _magnitudes(self, x: Traced) -> Traced:
        """Absolute values."""
        return x if (x.interval.low >= 0).all() else self.maximum(x, self.multiply(x, -1))

    def _either(
        self,
        risk: str,
        total: Traced,
        kind: Kind,
        in_order: Callable[[Branch], str],
        accumulator: Accumulator,
        second_look: Callable[[Branch], str] | None = None,
    ) -> Traced:
        """The plain sums, or those in order if there is a ``risk``; if there is, a ``second_look`` tells for sure."""
        plain = self.tensor(total)

        def choice(risk: str, name: str, make: Callable[..., str], ordered: Callable[[Branch], str]) -> str:
            branches = [Branch(self.graph, kind, f"{name}{which}") for which in ("o", "p")]
            then = branches[0].closed(ordered(branches[0]))
            otherwise = branches[1].closed(branches[1].node("Cast", plain.name, to=int(kind)))
            return make("If", risk, then_branch=then, else_branch=otherwise)

        def looking_again(branch: Branch) -> str:
            if second_look is None:
                return in_order(branch)
            return choice(second_look(branch), f"{branch.name}_", branch.node, in_order)

        name = choice(risk, f"_b{len(self.graph.nodes)}", self.graph.fresh, looking_again)
        interval = total.interval.mapped(lambda x: np.clip(x, accumulator.low, accumulator.high))
        return self.made(total.shape, Tensor(name, kind), interval)


def _rooms(weight: Whole, accumulator: Accumulator, *, negative: bool) -> NDArray[np.float32]:
    """How large the sum of squares of a window may be for each group such that no partial sum leaves the limits.

    A partial sum is at most the norm of the window times that of the weights (Cauchy-Schwarz), of those of one sign if the
    data have one. Float32 sums of ``n`` squares are too small by ``n + 2`` roundings at the most.
    """
    rows = weight.reshape(len(weight), -1)
    above, below = (rows, rows) if negative else (np.maximum(rows, 0), np.minimum(rows, 0))
    start, low, high = (
        np.broadcast_to(c.ravel(), len(rows)) for c in (accumulator.start, accumulator.low, accumulator.high)
    )
    sides = ((above, high - start), (below, start - low))
    squares = [(whole((side**2).sum(1)), whole(room**2)) for side, room in sides]
    margin = (1 << 24) - rows.shape[1] - 8
    rooms = np.min([np.where(w > 0, r * margin // (np.maximum(w, 1) << 24), 1 << 126) for w, r in squares], axis=0)
    return np.asarray(np.nextafter(rooms.astype(np.float32), np.float32(0)))
