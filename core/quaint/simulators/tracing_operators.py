"""Clipping, rounding and division as operators on tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint.numerics import Rounding
from quaint.simulators.tracing_graph import Kind, Tensor
from quaint.simulators.tracing_values import limit, whole

if TYPE_CHECKING:
    from quaint.simulators.tracing_graph import Graph
    from quaint.simulators.tracing_values import Clip, Interval, Whole

#: Operators that round; half up after a half has been added.
OPERATORS = {Rounding.HALF_EVEN: "Round", Rounding.FLOOR: "Floor", Rounding.CEIL: "Ceil", Rounding.HALF_UP: "Floor"}


def narrowed(graph: Graph, x: Tensor, interval: Interval) -> Tensor:
    """``x`` in the narrowest kind that holds ``interval``."""
    kind = Kind.holding(interval.limit)
    return graph.converted(x, kind) if kind.limit < x.kind.limit else x


def clip(graph: Graph, x: Tensor, limits: Clip) -> Tensor:
    """``x`` within ``limits``."""
    for bound in (limits.low, limits.high):
        if bound is not None and limit(bound) > x.kind.limit:
            x = graph.converted(x, Kind.holding(limit(bound)))
    if not limits:
        return x
    if x.kind is Kind.INT64 or any(bound is not None and bound.size > 1 for bound in (limits.low, limits.high)):
        x = x if limits.low is None else larger(graph, x, graph.whole(limits.low, x.kind))
        return x if limits.high is None else larger(graph, x, graph.whole(limits.high, x.kind), "Min")
    if limits.high is None and limits.low is not None and not limits.low.any():
        return Tensor(graph.node("Relu", x.name), x.kind)
    scalars = ["" if bound is None else _scalar(graph, bound, x.kind) for bound in (limits.low, limits.high)]
    return Tensor(graph.node("Clip", x.name, *scalars[: 2 if scalars[1] else 1]), x.kind)


def larger(graph: Graph, x: Tensor, other: str, op: str = "Max") -> Tensor:
    """The larger (``Max``) or smaller (``Min``) of two; onnxruntime 1.31 compares only half of each int64 in them."""
    if x.kind is not Kind.INT64:
        return Tensor(graph.node(op, x.name, other), x.kind)
    chosen = graph.node("Greater" if op == "Max" else "Less", x.name, other)
    return Tensor(graph.node("Where", chosen, x.name, other), x.kind)


def _scalar(graph: Graph, bound: Whole, kind: Kind) -> str:
    return graph.constant(np.asarray(int(bound.ravel()[0]), kind.dtype))


def round_real(graph: Graph, x: Tensor, rounding: Rounding) -> Tensor:
    """Real numbers in a float kind, rounded; exact for all numbers, infinities included."""
    match rounding:
        case Rounding.HALF_UP:
            name = _half_up(graph, x.name, x.kind)
        case Rounding.HALF_AWAY:
            name = graph.node("Mul", _half_away(graph, graph.node("Abs", x.name), x.kind), graph.node("Sign", x.name))
        case _:
            name = graph.node(OPERATORS[rounding], x.name)
    return Tensor(name, x.kind)


def _half_away(graph: Graph, name: str, kind: Kind) -> str:
    """Of numbers that are not negative: the floor of the sum with the number before a half.

    That sum is below the next whole number where the fraction is less than a half, for it then lies a unit in the last place
    or more below; and where it is a half, the sum is nearest to the whole number, or as near and that is even.
    """
    half = graph.constant(np.nextafter(np.asarray(0.5, kind.dtype), kind.dtype.type(0)))
    return graph.node("Floor", graph.node("Add", name, half))


def _half_up(graph: Graph, name: str, kind: Kind) -> str:
    """The floor, plus one where the fraction is a half or more; ``floor(x + 0.5)`` would round the sum."""
    floor = graph.node("Floor", name)
    half = graph.constant(np.asarray(0.5, kind.dtype))
    up = graph.node("GreaterOrEqual", graph.node("Sub", name, floor), half)
    return graph.node("Add", floor, graph.cast(up, kind))


def divided(graph: Graph, x: Tensor, divisor: Whole, rounding: Rounding) -> Tensor:
    """``round(x / divisor)`` in int64: the floor, plus one depending on what is left."""
    d, zero, one = (graph.whole(constant, Kind.INT64) for constant in (divisor, whole(0), whole(1)))
    rest = graph.node("Mod", x.name, d)
    floor = graph.node("Div", graph.node("Sub", x.name, rest), d)
    missing = graph.node("Sub", d, rest)
    above = graph.node("Greater", rest, missing)
    match rounding:
        case Rounding.FLOOR:
            return Tensor(floor, Kind.INT64)
        case Rounding.CEIL:
            up = graph.node("Greater", rest, zero)
        case Rounding.HALF_UP:
            up = graph.node("GreaterOrEqual", rest, missing)
        case _:
            if rounding is Rounding.HALF_AWAY:
                to = graph.node("GreaterOrEqual", x.name, zero)
            else:
                to = graph.node("Equal", graph.node("Mod", floor, graph.whole(whole(2), Kind.INT64)), one)
            up = graph.node("Or", above, graph.node("And", graph.node("Equal", rest, missing), to))
    return Tensor(graph.node("Add", floor, graph.cast(up, Kind.INT64)), Kind.INT64)
