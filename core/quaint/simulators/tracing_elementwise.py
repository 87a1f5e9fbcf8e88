"""Elementwise operations, traced."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper

from quaint.simulators.tracing_blocked import REACH, by_channel, one_tap
from quaint.simulators.tracing_core import Emitter, broadcast
from quaint.simulators.tracing_graph import Kind, Tensor, Untraceable
from quaint.simulators.tracing_operators import divided, larger
from quaint.simulators.tracing_sources import Division, Rescaled
from quaint.simulators.tracing_steps import multiple
from quaint.simulators.tracing_values import Clip, Interval, Real, Traced, whole
from quaint.simulators.tracing_values import divided as quotient

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.arithmetic import Constant
    from quaint.numerics import Rounding
    from quaint.simulators.tracing_values import Whole

#: From here on, all shifts of numbers below 2**61 round alike: less than half is left of them.
_FARTHEST_SHIFT = 62


class Elementwise(Emitter):
    """Operations on one element at a time."""

    def add(self, x: Traced, y: Traced | Constant, *, axis: int | None = None) -> Traced:
        """``x + y``."""
        if isinstance(y, Traced):
            return self._combined("Add", x, y, x.interval + y.interval)
        return self._plus(x, self._whole(y, len(x.shape), axis))

    def subtract(self, x: Traced, y: Traced | Constant, *, axis: int | None = None) -> Traced:
        """``x - y``."""
        if isinstance(y, Traced):
            return self._combined("Sub", x, y, x.interval + -y.interval)
        return self._plus(x, whole(-self._whole(y, len(x.shape), axis)))

    def multiply(self, x: Traced, y: Traced | Constant, *, axis: int | None = None) -> Traced:
        """``x * y``."""
        if isinstance(y, Traced):
            return self._combined("Mul", x, y, x.interval * y.interval)
        constant = self._whole(y, len(x.shape), axis)
        if (constant == 1).all():
            return self._grown(x, constant)
        x, interval = self._grown(x, constant), x.interval * Interval.of(constant, constant)
        kind = Kind.holding(max(interval.limit, x.interval.limit, Interval.of(constant, constant).limit))
        tensor = self.graph.converted(self.tensor(x), kind)
        if self._fast and kind is Kind.FLOAT32 and by_channel(x.shape, constant):
            name = one_tap(self.graph, x.shape, tensor.name, constant, whole(0))
        else:
            name = self.graph.times(self.graph.fenced(tensor), constant).name
        return Traced(x.shape, multiple(x, constant, Tensor(name, kind), interval))

    def clip(self, x: Traced, low: Constant | None, high: Constant | None, *, axis: int | None = None) -> Traced:
        """``min(max(x, low), high)``."""
        limits = [None if limit is None else self._whole(limit, len(x.shape), axis) for limit in (low, high)]
        for limit in limits:
            x = x if limit is None else self._grown(x, limit)
        needed = Clip(*limits).needed(x.interval)
        return replace(x, limits=x.limits.then(*limits)) if needed else x

    def wrap(self, x: Traced, bits: int) -> Traced:
        """``x`` modulo ``2**bits`` as a signed integer: less the multiple of ``2**bits`` that is nearest."""
        half, modulus = 1 << (bits - 1), 1 << bits
        interval = x.interval
        if (interval.low >= -half).all() and (interval.high < half).all():
            return x
        kind = Kind.holding(interval.limit + modulus)
        graph, tensor = self.graph, self.graph.converted(self.graph.fenced(self.tensor(x)), kind)
        constants = (half, modulus, modulus if kind is Kind.INT64 else 2.0**-bits)
        shift, size, scale = (graph.constant(np.asarray(constant, kind.dtype)) for constant in constants)
        raised = graph.node("Add", tensor.name, shift)
        if kind is Kind.INT64:
            name = graph.node("Sub", graph.node("Mod", raised, scale), shift)
        else:
            turns = graph.node("Floor", graph.node("Mul", raised, scale))
            name = graph.node("Sub", tensor.name, graph.node("Mul", turns, size))
        return self.made(x.shape, Tensor(name, kind), Interval.of(-half, half - 1))

    def shift_left(self, x: Traced, bits: Constant, *, axis: int | None = None) -> Traced:
        """``x * 2**bits``."""
        return self.multiply(x, 2 ** self._whole(bits, len(x.shape), axis))

    def shift_right(self, x: Traced, bits: Constant, rounding: Rounding, *, axis: int | None = None) -> Traced:
        """``round(x * 2**-bits)``."""
        places = self._whole(bits, len(x.shape), axis)
        x = self._grown(x, places)
        if (places < 0).any():
            x = self.shift_left(x, whole(np.maximum(-places, 0)))
            places = whole(np.maximum(places, 0))
        if not places.any():
            return x
        if (places > _FARTHEST_SHIFT).any():
            if x.interval.limit >= 1 << (_FARTHEST_SHIFT - 1):
                raise Untraceable("a far shift of 64-bit numbers")
            places = whole(np.minimum(places, _FARTHEST_SHIFT))
        if x.settled:
            x = self._settled(x)
        return replace(x, bits=places, rounding=rounding)

    def divide(self, x: Traced, divisor: Constant, rounding: Rounding, *, axis: int | None = None) -> Traced:
        """``round(x / divisor)``, divisor > 0."""
        by = self._whole(divisor, len(x.shape), axis)
        x = self._grown(x, by)
        interval = x.interval.mapped(lambda value: quotient(value, by, rounding))
        largest = Interval.of(0, by).limit
        kind = Kind.holding(max(2 * x.interval.limit, largest))
        tensor = self.graph.converted(self.tensor(x), kind)
        if kind is Kind.INT64:
            Kind.holding(x.interval.limit + largest)
            return self.made(x.shape, divided(self.graph, tensor, by, rounding), interval)
        return Traced(x.shape, Division(tensor, by, interval), rounding=rounding)

    def scale_float32(
        self, x: Traced, factor: NDArray[np.float32], rounding: Rounding, *, axis: int | None = None
    ) -> Traced:
        """``round(float32(x) * factor)`` in IEEE single precision."""
        laid = np.atleast_1d(self._laid(factor, len(x.shape), axis))
        x = self._grown(x, laid)
        if x.interval.limit > Kind.FLOAT64.limit:
            raise Untraceable("float32 of numbers beyond 2**53")
        bounds = [bound.astype(np.float64).astype(np.float32) for bound in (x.interval.low, x.interval.high)]
        with np.errstate(over="ignore"):
            corners = np.stack(np.broadcast_arrays(*(bound * laid for bound in bounds)))
        if not np.isfinite(corners).all():
            raise Untraceable("float32 products that overflow")
        interval = Interval(_integers(np.floor(corners.min(0))), _integers(np.ceil(corners.max(0))))
        source = Rescaled(self.tensor(x), self.graph.shaped(factor, laid), interval)
        return Traced(x.shape, source, rounding=rounding)

    def maximum(self, x: Traced, y: Traced) -> Traced:
        """The larger of two tensors."""
        low, high = (np.maximum(a, b) for a, b in zip(_bounds(x), _bounds(y), strict=True))
        kind = Kind.holding(max(x.interval.limit, y.interval.limit))
        first, second = self.graph.converted(self.tensor(x), kind), self._as(y, kind)
        return self.made(broadcast(x.shape, y.shape), larger(self.graph, first, second), Interval.of(low, high))

    def lookup(self, x: Traced, table: NDArray[Any], low: int) -> Traced | Real:
        """``table[x - low]``."""
        hull = x.interval.hull()
        first, last = int(hull.low[0]) - low, int(hull.high[0]) - low
        if first < 0 or last >= len(table):
            raise Untraceable(
                f"a table from {low} of {len(table)} entries for integers from {first + low} to {last + low}"
            )
        index = self.graph.cast(self.tensor(self._plus(x, whole(-low))).name, TensorProto.INT32)
        if table.dtype.kind == "f":
            kind = Kind(helper.np_dtype_to_tensor_dtype(table.dtype))
            return Real(x.shape, self.graph.node("Gather", self.graph.float_constant(table, kind), index), kind)
        reached = np.asarray(table)[first : last + 1].astype(np.int64)
        interval = Interval.of(reached.min(), reached.max())
        entries = np.asarray(table)
        kind = Kind.holding(max(int(entries.max()), -int(entries.min())))
        name = self.graph.node("Gather", self.graph.whole(self.graph.shaped(table, entries), kind), index)
        return self.made(x.shape, Tensor(name, kind), interval)

    def _plus(self, x: Traced, constant: Whole) -> Traced:
        """``x`` and a constant, pending."""
        x = self._grown(x, constant)
        return x.plus(constant) if constant.any() else x

    def _combined(self, op: str, x: Traced, y: Traced, interval: Interval) -> Traced:
        """An elementwise operator on two tensors, in a kind that holds the result."""
        kind = Kind.holding(max(interval.limit, x.interval.limit, y.interval.limit))
        first, second = (self.graph.converted(self.tensor(value), kind) for value in (x, y))
        if op in {"Add", "Sub"} and x.interval.limit + y.interval.limit >= REACH:
            first, second = self.graph.fenced(first), self.graph.fenced(second)
        name = self.graph.node(op, first.name, second.name)
        return self.made(broadcast(x.shape, y.shape), Tensor(name, kind), interval)


def _bounds(x: Traced) -> tuple[Whole, Whole]:
    return x.interval.low, x.interval.high


def _integers(x: NDArray[np.float32]) -> Whole:
    """Whole floats as Python integers, also those beyond 64 bits."""
    return np.asarray([int(value) for value in x.ravel().tolist()], object).reshape(x.shape)
