"""Emits pending values: scales, rounds, offsets and clips them, exactly.

In float32 where the bounds allow, else in float64, else in int64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint.numerics import Rounding
from quaint.simulators.tracing_blocked import REACH, blockable, by_magic, fixed_point, rescaled_by_magic
from quaint.simulators.tracing_graph import Kind, Tensor
from quaint.simulators.tracing_operators import OPERATORS, clip, divided, narrowed, round_real
from quaint.simulators.tracing_sources import Existing, Rescaled
from quaint.simulators.tracing_steps import Multiple, by_steps
from quaint.simulators.tracing_values import Source, limit, whole

if TYPE_CHECKING:
    from quaint.simulators.tracing_graph import Graph
    from quaint.simulators.tracing_values import Traced


def emit(graph: Graph, x: Traced, *, fast: bool) -> Tensor:
    """Put ``x`` into the graph in the narrowest kind that holds it.

    Args:
        graph: where to.
        x: what.
        fast: scale constants instead of sums, and keep to the blocked layout; otherwise one operator a step.

    Raises:
        Untraceable: if 64 bits do not hold what comes between.
    """
    source = x.source
    if fast:
        folded = by_steps(graph, x, source) if isinstance(source, Multiple) else None
        if folded is None and isinstance(source, Source):
            folded = _folded(graph, x, source)
        if isinstance(source, Rescaled) and blockable(x, source.factor):
            folded = _float32(rescaled_by_magic(graph, x, source))
        if folded:
            return folded
    if isinstance(source, Source):
        return _settle(graph, x, _stepwise(graph, x, source))
    return _settle(graph, x, round_real(graph, source.real(graph), x.rounding))


def away_as_up(x: Traced) -> Rounding:
    """Ties away from zero are ties upward where no negative result survives."""
    survives = x.rounded.low if x.limits.low is None else np.maximum(x.rounded.low, x.limits.low - x.offset)
    return Rounding.HALF_UP if x.rounding is Rounding.HALF_AWAY and (survives >= 0).all() else x.rounding


def _float32(name: str | None) -> Tensor | None:
    return Tensor(name, Kind.FLOAT32) if name else None


def _folded(graph: Graph, x: Traced, source: Source) -> Tensor | None:
    """``x`` with scale and bias folded into the float32 source; None if that is not proven exact."""
    rounding = away_as_up(x)
    if rounding is Rounding.HALF_AWAY or x.interval.limit > Kind.FLOAT32.limit:
        return None
    limits = x.limits.moved(-x.offset).needed(x.rounded)
    rounds, maps = (x.bits > 0).any(), blockable(x)
    if rounds and maps and x.rounded.mapped(limits).limit < REACH:
        name = by_magic(graph, x, source, limits, rounding)
        if name:
            return _float32(name)
    units = whole(2 * (x.bias if rounds else x.bias + x.offset))
    if rounding is Rounding.HALF_UP:
        units = whole(units + np.where(x.bits > 0, 2**x.bits, 0))
    if not source.exact(units):
        return None
    if not rounds:
        value = fixed_point(graph, x, source, units) if maps else source.affine(graph, x.bits, units, negate=False)
        return clip(graph, Tensor(value, Kind.FLOAT32), limits.moved(x.offset))
    value = source.affine(graph, x.bits, units, negate=False)
    return _settle(graph, x, Tensor(graph.node(OPERATORS[rounding], value), Kind.FLOAT32))


def _settle(graph: Graph, x: Traced, rounded: Tensor) -> Tensor:
    """Clip and offset what has been rounded, and carry it in the narrowest kind."""
    limits = x.limits.moved(-x.offset).needed(x.rounded)
    if x.offset.any():
        kind = _offset_kind(x)
        rounded = graph.converted(rounded, kind) if rounded.kind.limit < kind.limit else rounded
        rounded = clip(graph, rounded, limits)
        rounded = Tensor(graph.node("Add", rounded.name, graph.whole(x.offset, rounded.kind)), rounded.kind)
    else:
        rounded = clip(graph, rounded, limits)
    return narrowed(graph, rounded, x.interval)


def _stepwise(graph: Graph, x: Traced, source: Source) -> Tensor:
    """The rounded value, an operator for each step."""
    step, kind, needed = whole(2**x.bits), _sum_kind(x), x.source.interval.limit + limit(x.bias)
    value = source.tensor(graph, kind)
    direct = graph.takes_scale(value, x.bits) and value.kind.limit >= kind.limit and not x.bias.any()
    value = graph.fenced(value) if isinstance(source, Existing) and not direct else value
    value = value if value.kind.limit >= kind.limit else graph.converted(value, kind)
    if x.bias.any():
        value = Tensor(graph.node("Add", value.name, graph.whole(x.bias, value.kind)), value.kind)
    if not x.bits.any():
        return value
    if value.kind is Kind.INT64:
        return divided(graph, value, step, x.rounding)
    scaled, rounding = graph.scaled_down(value, x.bits), away_as_up(x)
    if rounding is Rounding.HALF_UP and 2 * needed + limit(step) <= value.kind.limit:
        half = graph.constant(np.asarray(0.5, value.kind.dtype))
        return Tensor(graph.node("Floor", graph.node("Add", scaled.name, half)), value.kind)
    return round_real(graph, scaled, rounding)


def _sum_kind(x: Traced) -> Kind:
    """What holds source and bias; a shift of 64-bit numbers takes a power of two more."""
    needed = x.source.interval.limit + limit(x.bias)
    kind = Kind.holding(needed)
    return Kind.holding(needed + (limit(whole(2**x.bits)) if x.bits.any() else 0)) if kind is Kind.INT64 else kind


def _offset_kind(x: Traced) -> Kind:
    """What holds a rounded value before and after its offset, within limits."""
    limits = x.limits.moved(-x.offset).needed(x.rounded)
    return Kind.holding(max(x.rounded.mapped(limits).limit, x.interval.limit, limit(x.offset)))


def check_kinds(x: Traced) -> None:
    """Whether ``emit`` can do it.

    Raises:
        Untraceable: if it cannot.
    """
    if isinstance(x.source, Source):
        _sum_kind(x)
    _offset_kind(x)
