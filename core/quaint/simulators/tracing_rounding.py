"""Emits pending values: scales, rounds, offsets and clips them, exactly.

In float32 where the bounds allow, else in float64, else in int64. Feature maps that stay in onnxruntime's blocked layout
(several times faster on x86) are rounded by convolutions, since no operator that rounds knows that layout: adding
1.5 * 2**23 to a number of magnitude up to 2**22 rounds it to the nearest whole one, ties to even, and subtracting it again is
exact. Both are depthwise convolutions of one tap, that is, one multiplication by 1 and one addition, fused or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint.numerics import Rounding
from quaint.simulators.tracing_graph import Kind, Tensor
from quaint.simulators.tracing_products import Convolution
from quaint.simulators.tracing_sources import Existing, Rescaled
from quaint.simulators.tracing_values import Clip, Interval, Source, whole

if TYPE_CHECKING:
    from quaint.simulators.tracing_graph import Graph
    from quaint.simulators.tracing_values import Shape, Traced, Whole

#: 1.5 * 2**23: float32 numbers within ``REACH`` of it are whole; it is even, so that ties to even stay so.
MAGIC, REACH = 3 << 22, 1 << 22

_OPERATORS = {Rounding.HALF_EVEN: "Round", Rounding.FLOOR: "Floor", Rounding.CEIL: "Ceil", Rounding.HALF_UP: "Floor"}


def emit(graph: Graph, x: Traced, *, fast: bool) -> Tensor:
    """Put ``x`` into the graph in the narrowest kind that holds it.

    Args:
        graph: where to.
        x: what.
        fast: scale constants instead of sums, and keep to the blocked layout; otherwise one operator a step.

    Raises:
        Untraceable: if 64 bits do not hold what comes between.
    """
    source, name = x.source, None
    if fast:
        if isinstance(source, Source):
            name = _folded(graph, x, source)
        elif isinstance(source, Rescaled) and _blockable(x, source.factor):
            name = _rescaled_by_magic(graph, x, source)
        if name:
            return Tensor(name, Kind.FLOAT32)
    if isinstance(source, Source):
        return _settle(graph, x, _stepwise(graph, x, source))
    return _settle(graph, x, round_real(graph, source.real(graph), x.rounding))


def _away_as_up(x: Traced) -> Rounding:
    """Ties away from zero are ties upward where no negative result survives."""
    survives = x.rounded.low if x.limits.low is None else np.maximum(x.rounded.low, x.limits.low - x.offset)
    return Rounding.HALF_UP if x.rounding is Rounding.HALF_AWAY and (survives >= 0).all() else x.rounding


def _folded(graph: Graph, x: Traced, source: Source) -> str | None:
    """``x`` in float32, scale and bias folded into the source; None if that is not proven exact."""
    rounding = _away_as_up(x)
    if rounding is Rounding.HALF_AWAY or x.interval.limit > Kind.FLOAT32.limit:
        return None
    limits = x.limits.moved(-x.offset).needed(x.rounded)
    rounds = (x.bits > 0).any()
    if rounds and _blockable(x) and x.rounded.mapped(limits).limit < REACH:
        name = _by_magic(graph, x, source, limits, rounding)
        if name:
            return name
    units = whole(2 * (x.bias if rounds else x.bias + x.offset))
    if rounding is Rounding.HALF_UP:
        units = whole(units + np.where(x.bits > 0, 2**x.bits, 0))
    if not source.exact(units):
        return None
    value = Tensor(source.affine(graph, x.bits, units, negate=False), Kind.FLOAT32)
    if not rounds:
        return clip(graph, value, limits.moved(x.offset)).name
    return _settle(graph, x, Tensor(graph.node(_OPERATORS[rounding], value.name), Kind.FLOAT32)).name


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


def narrowed(graph: Graph, x: Tensor, interval: Interval) -> Tensor:
    """``x`` in the narrowest kind that holds ``interval``."""
    kind = Kind.holding(interval.limit)
    return graph.converted(x, kind) if kind.limit < x.kind.limit else x


def clip(graph: Graph, x: Tensor, limits: Clip) -> Tensor:
    """``x`` within ``limits``."""
    for limit in (limits.low, limits.high):
        if limit is not None and _limit(limit) > x.kind.limit:
            x = graph.converted(x, Kind.holding(_limit(limit)))
    if not limits:
        return x
    if x.kind is Kind.INT64 or any(limit is not None and limit.size > 1 for limit in (limits.low, limits.high)):
        x = x if limits.low is None else larger(graph, x, graph.whole(limits.low, x.kind))
        return x if limits.high is None else larger(graph, x, graph.whole(limits.high, x.kind), "Min")
    if limits.high is None and limits.low is not None and not limits.low.any():
        return Tensor(graph.node("Relu", x.name), x.kind)
    scalars = ["" if limit is None else _scalar(graph, limit, x.kind) for limit in (limits.low, limits.high)]
    return Tensor(graph.node("Clip", x.name, *scalars[: 2 if scalars[1] else 1]), x.kind)


def larger(graph: Graph, x: Tensor, other: str, op: str = "Max") -> Tensor:
    """The larger (``Max``) or smaller (``Min``) of two; onnxruntime 1.31 compares only half of each int64 in them."""
    if x.kind is not Kind.INT64:
        return Tensor(graph.node(op, x.name, other), x.kind)
    chosen = graph.node("Greater" if op == "Max" else "Less", x.name, other)
    return Tensor(graph.node("Where", chosen, x.name, other), x.kind)


def _scalar(graph: Graph, limit: Whole, kind: Kind) -> str:
    return graph.constant(np.asarray(int(limit.ravel()[0]), kind.dtype))


# In the blocked layout -------------------------------------------------------------------------------------------------


def by_channel(shape: Shape, *constants: Whole) -> bool:
    """Whether the blocked layout takes feature maps of this shape, and the constants are alike within a channel."""
    channels = shape[1] if len(shape) == 4 else None
    alike = all(array.size == 1 or array.shape[-3:] == (channels, 1, 1) for array in constants)
    return channels is not None and channels % 4 == 0 and alike


def _blockable(x: Traced, *factors: Whole) -> bool:
    """Whether ``x`` can be made in the blocked layout."""
    limits = (limit for limit in (x.limits.low, x.limits.high) if limit is not None)
    return by_channel(x.shape, x.bias, x.bits, x.offset, *factors, *limits)


def _by_magic(graph: Graph, x: Traced, source: Source, limits: Clip, rounding: Rounding) -> str | None:
    """``x`` rounded by ``MAGIC``, which rounds all that survives ``limits`` exactly and the rest to what they cut off."""
    step = np.where(x.bits > 0, 2**x.bits, 1)
    units = whole(2 * x.bias + _tie_units(rounding, x.bits, step))
    final = limits.moved(x.offset)
    if isinstance(source, Convolution) and limits.high is not None and (final.low is None or not final.low.any()):
        mirrored = whole(2 * step * limits.high - units)
        if source.exact(mirrored):  # high - relu(high - x): a relu costs nothing after a convolution, a clip does
            above = graph.node("Relu", source.affine(graph, x.bits, mirrored, negate=True))
            shifted = one_tap(graph, x.shape, above, whole(-1), whole(limits.high + MAGIC))
            return _unshifted(graph, x, shifted, Clip(final.low))
    if not source.exact(units):
        return None
    if not isinstance(source, Existing):
        shifted = one_tap(graph, x.shape, source.affine(graph, x.bits, units, negate=False), whole(1), whole(MAGIC))
    else:
        scale = np.exp2(-x.bits.astype(np.float64))
        value = source.value.name
        if units.any():
            value, scale = one_tap(graph, x.shape, value, scale, units.astype(np.float64) * scale / 2), whole(1)
        shifted = one_tap(graph, x.shape, value, scale, whole(MAGIC))
    return _unshifted(graph, x, shifted, final)


def _rescaled_by_magic(graph: Graph, x: Traced, source: Rescaled) -> str | None:
    """A product with a float32 factor, rounded by ``MAGIC`` where that rounds alike."""
    limits = x.limits.moved(-x.offset).needed(x.rounded)
    if x.rounding is not Rounding.HALF_EVEN or x.rounded.mapped(limits).limit >= REACH:
        return None
    value = graph.converted(source.value, Kind.FLOAT32)
    product = one_tap(graph, x.shape, value.name, source.factor, whole(0))
    shifted = one_tap(graph, x.shape, product, whole(1), whole(MAGIC))
    return _unshifted(graph, x, shifted, limits.moved(x.offset))


def _unshifted(graph: Graph, x: Traced, shifted: str, limits: Clip) -> str:
    """``shifted - MAGIC`` with the offset and limits of ``x``."""
    value = Tensor(one_tap(graph, x.shape, shifted, whole(1), whole(x.offset - MAGIC)), Kind.FLOAT32)
    return clip(graph, value, limits).name


def _tie_units(rounding: Rounding, bits: Whole, step: Whole) -> Whole:
    """What to add, in halves of a unit, so that rounding to the nearest, ties to even, rounds as ``rounding`` does.

    A sum of units is never nearer than half a unit to where ``rounding`` changes its mind, once that lies between units.
    """
    units = {
        Rounding.HALF_EVEN: whole(0),
        Rounding.HALF_UP: whole(1),
        Rounding.FLOOR: whole(1 - step),
        Rounding.CEIL: whole(step - 1),
    }[rounding]
    return whole(np.where(bits > 0, units, 0))


def one_tap(graph: Graph, shape: Shape, name: str, weight: Whole, bias: Whole) -> str:
    """``name * weight + bias`` by channel: a depthwise convolution. ``shape`` is that of the result."""
    channels = shape[1] or 0
    inputs = [name, graph.constant(np.broadcast_to(weight.astype(np.float32).ravel(), channels).reshape(-1, 1, 1, 1))]
    if bias.any():
        inputs.append(graph.constant(np.broadcast_to(bias.astype(np.float32).ravel(), channels)))
    return graph.node("Conv", *inputs, group=channels)


# Step by step, in any kind, and of reals ------------------------------------------------------------------------------


def _stepwise(graph: Graph, x: Traced, source: Source) -> Tensor:
    """The rounded value, an operator for each step."""
    step, kind, needed = whole(2**x.bits), _sum_kind(x), x.source.interval.limit + _limit(x.bias)
    value = source.tensor(graph, kind)
    value = graph.fenced(value) if isinstance(source, Existing) else value
    value = value if value.kind.limit >= kind.limit else graph.converted(value, kind)
    if x.bias.any():
        value = Tensor(graph.node("Add", value.name, graph.whole(x.bias, value.kind)), value.kind)
    if not x.bits.any():
        return value
    if value.kind is Kind.INT64:
        return divided(graph, value, step, x.rounding)
    scaled, rounding = graph.scaled_down(value, x.bits), _away_as_up(x)
    if rounding is Rounding.HALF_UP and 2 * needed + _limit(step) <= value.kind.limit:
        half = graph.constant(np.asarray(0.5, value.kind.dtype))
        return Tensor(graph.node("Floor", graph.node("Add", scaled.name, half)), value.kind)
    return round_real(graph, scaled, rounding)


def _limit(constant: Whole) -> int:
    return Interval.of(constant, constant).limit


def _sum_kind(x: Traced) -> Kind:
    """What holds source and bias; a shift of 64-bit numbers takes a power of two more."""
    needed = x.source.interval.limit + _limit(x.bias)
    kind = Kind.holding(needed)
    return Kind.holding(needed + (_limit(whole(2**x.bits)) if x.bits.any() else 0)) if kind is Kind.INT64 else kind


def _offset_kind(x: Traced) -> Kind:
    """What holds a rounded value before and after its offset, within limits."""
    limits = x.limits.moved(-x.offset).needed(x.rounded)
    return Kind.holding(max(x.rounded.mapped(limits).limit, x.interval.limit, _limit(x.offset)))


def check_kinds(x: Traced) -> None:
    """Whether ``emit`` can do it.

    Raises:
        Untraceable: if it cannot.
    """
    if isinstance(x.source, Source):
        _sum_kind(x)
    _offset_kind(x)


def round_real(graph: Graph, x: Tensor, rounding: Rounding) -> Tensor:
    """Real numbers in a float kind, rounded; exact for all numbers, infinities included."""
    match rounding:
        case Rounding.HALF_UP:
            name = _half_up(graph, x.name, x.kind)
        case Rounding.HALF_AWAY:
            name = graph.node("Mul", _half_up(graph, graph.node("Abs", x.name), x.kind), graph.node("Sign", x.name))
        case _:
            name = graph.node(_OPERATORS[rounding], x.name)
    return Tensor(name, x.kind)


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
