"""Where traced numbers come from, other than convolutions: tensors, matrix products, and reals to be rounded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.simulators.tracing_graph import Kind, Tensor
from quaint.simulators.tracing_products import partial_sums, within_float32
from quaint.simulators.tracing_values import Interval, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.simulators.tracing_graph import Graph
    from quaint.simulators.tracing_values import Whole

    Ints = NDArray[np.int64]


def scaled(graph: Graph, name: str, bits: Whole, half_units: Whole, *, negate: bool) -> str:
    """``(+-2 * name + half_units) * 2**-(bits + 1)`` in float32, as a multiplication and an addition."""
    scale = (-1.0 if negate else 1.0) * np.exp2(-bits.astype(np.float64))
    addend = half_units.astype(np.float64) * np.exp2(-1.0 - bits.astype(np.float64))
    if (scale != 1).any():
        name = graph.node("Mul", name, graph.constant(scale.astype(np.float32)))
    return graph.node("Add", name, graph.constant(addend.astype(np.float32))) if addend.any() else name


@dataclass(frozen=True, eq=False)
class Existing:
    """A tensor of whole numbers that is in the graph."""

    value: Tensor
    interval: Interval

    def exact(self, half_units: Whole) -> bool:
        """Whether float32 holds it, and it does not grow past it."""
        around_zero = self.interval.union(Interval.of(0, 0))
        return self.value.kind is Kind.FLOAT32 and within_float32(around_zero, half_units)

    def affine(self, graph: Graph, bits: Whole, half_units: Whole, *, negate: bool) -> str:
        """See ``Source``."""
        pending = negate or bits.any() or half_units.any()
        value = graph.fenced(self.value) if pending else self.value
        return scaled(graph, value.name, bits, half_units, negate=negate)

    def tensor(self, _graph: Graph, _kind: Kind, /) -> Tensor:
        """The tensor itself."""
        return self.value


@dataclass(frozen=True, eq=False)
class MatrixProduct:
    """``MatMul`` of a traced tensor with constants or with another, not yet emitted.

    Args:
        x: the first factor and its bounds.
        y: the second, if it is traced, and its bounds.
        weight: the second, if it is constant, int64.
        given: the same as it was given.
        terms: how many products are added up.
    """

    x: Tensor
    x_interval: Interval
    y: Tensor | None
    y_interval: Interval
    weight: Ints | None
    given: NDArray[Any] | None
    terms: int

    @cached_property
    def interval(self) -> Interval:
        """Bounds of the sums and their partial sums: one a column of constants, else one for all."""
        hull = self.x_interval.hull()
        if self.weight is None:
            product = (hull * self.y_interval.hull()).hull()
            return Interval.of(self.terms * np.minimum(product.low, 0), self.terms * np.maximum(product.high, 0))
        low, high = hull.low.astype(np.int64), hull.high.astype(np.int64)
        sums = partial_sums(np.moveaxis(self.weight, -2, -1).reshape(-1, self.terms), low, high)
        return sums if self.weight.ndim == 2 else sums.hull()

    def _kinds(self) -> set[Kind]:
        return {self.x.kind} if self.y is None else {self.x.kind, self.y.kind}

    def exact(self, half_units: Whole) -> bool:
        """Whether float32 does it."""
        per_column = half_units.size == 1 or half_units.size == half_units.shape[-1] == self.interval.low.size
        return self._kinds() == {Kind.FLOAT32} and per_column and within_float32(self.interval, half_units)

    def affine(self, graph: Graph, bits: Whole, half_units: Whole, *, negate: bool) -> str:
        """See ``Source``."""
        if self.weight is None:
            return scaled(graph, self._product(graph, Kind.FLOAT32), bits, half_units, negate=negate)
        scale = (-1.0 if negate else 1.0) * np.exp2(-bits.astype(np.float64))
        weight = (self.weight * scale.reshape(-1)).astype(np.float32)
        name = graph.node("MatMul", self.x.name, graph.constant(weight))
        addend = half_units.astype(np.float64) * np.exp2(-1.0 - bits.astype(np.float64))
        return graph.node("Add", name, graph.constant(addend.reshape(-1).astype(np.float32))) if addend.any() else name

    def tensor(self, graph: Graph, kind: Kind) -> Tensor:
        """The product in ``kind``, or in float32 if that does."""
        kinds = {kind, Kind.FLOAT64, *self._kinds()}
        kind = Kind.FLOAT32 if self.exact(whole(0)) else max(kinds, key=lambda kind: kind.limit)
        return Tensor(self._product(graph, kind), kind)

    def _product(self, graph: Graph, kind: Kind) -> str:
        second = graph.converted(self.y, kind).name if self.y else graph.whole(np.asarray(self.given), kind)
        return graph.node("MatMul", graph.converted(self.x, kind).name, second)


@dataclass(frozen=True, eq=False)
class Rescaled:
    """``float32(x) * factor`` in IEEE single precision; whatever rounds it, rounds the result of two roundings."""

    value: Tensor
    factor: NDArray[np.float32]
    interval: Interval

    def real(self, graph: Graph) -> Tensor:
        """The products."""
        x = graph.converted(graph.fenced(self.value), Kind.FLOAT32)
        return Tensor(graph.node("Mul", x.name, graph.real(self.factor)), Kind.FLOAT32)


@dataclass(frozen=True, eq=False)
class Division:
    """``x / divisor`` in floating point.

    A quotient lies at least ``1 / (2 * divisor)`` from any tie or whole number that it is not equal to, and is computed to
    within half a unit in the last place; so no rounding of it goes wrong while ``2 * |x|`` is exact.
    """

    value: Tensor
    divisor: NDArray[Any]
    interval: Interval

    def real(self, graph: Graph) -> Tensor:
        """The quotients."""
        divisor = graph.whole(self.divisor, self.value.kind)
        return Tensor(graph.node("Div", graph.fenced(self.value).name, divisor), self.value.kind)


@dataclass(frozen=True, eq=False)
class Measured:
    """Reals that are to be quantized: any numbers of a float kind but NaN."""

    name: str
    kind: Kind = Kind.FLOAT32

    @property
    def interval(self) -> Interval:
        """All that the kind can hold."""
        largest = 1 << (128 if self.kind is Kind.FLOAT32 else 1024)
        return Interval.of(-largest, largest)

    def real(self, _graph: Graph, /) -> Tensor:
        """The reals themselves."""
        return Tensor(self.name, self.kind)
