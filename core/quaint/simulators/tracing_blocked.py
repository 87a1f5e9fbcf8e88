"""Rounding in the layout that onnxruntime convolves feature maps in on x86, blocks of channels.

Leaving that layout costs more than a convolution, and no operator that rounds knows it. So maps are rounded by convolutions:
adding 1.5 * 2**23 to a number of magnitude up to 2**22 rounds it to the nearest whole one, ties to even, and subtracting it
again is exact. Both are depthwise convolutions of one tap, that is, a multiplication by 1 and an addition, fused or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint.numerics import Rounding
from quaint.simulators.tracing_graph import Kind, Tensor
from quaint.simulators.tracing_operators import clip
from quaint.simulators.tracing_products import Convolution
from quaint.simulators.tracing_sources import Existing
from quaint.simulators.tracing_values import Clip, whole

if TYPE_CHECKING:
    from quaint.simulators.tracing_graph import Graph
    from quaint.simulators.tracing_sources import Rescaled
    from quaint.simulators.tracing_values import Shape, Source, Traced, Whole

#: 1.5 * 2**23: float32 numbers within ``REACH`` of it are whole; it is even, so that ties to even stay so.
MAGIC, REACH = 3 << 22, 1 << 22


def by_channel(shape: Shape, *constants: Whole) -> bool:
    """Whether the blocked layout takes feature maps of this shape, and the constants are alike within a channel."""
    channels = shape[1] if len(shape) == 4 else None
    alike = all(array.size == 1 or array.shape[-3:] == (channels, 1, 1) for array in constants)
    return channels is not None and channels % 4 == 0 and alike


def blockable(x: Traced, *factors: Whole) -> bool:
    """Whether ``x`` can be made in the blocked layout."""
    limits = (limit for limit in (x.limits.low, x.limits.high) if limit is not None)
    return by_channel(x.shape, x.bias, x.bits, x.offset, *factors, *limits)


def by_magic(graph: Graph, x: Traced, source: Source, limits: Clip, rounding: Rounding) -> str | None:
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
    scale = np.exp2(-x.bits.astype(np.float64))
    if isinstance(source, Existing) and not units.any():  # scaled and shifted in one
        shifted = one_tap(graph, x.shape, source.value.name, scale, whole(MAGIC))
    else:
        shifted = one_tap(graph, x.shape, fixed_point(graph, x, source, units), whole(1), whole(MAGIC))
    return _unshifted(graph, x, shifted, final)


def fixed_point(graph: Graph, x: Traced, source: Source, half_units: Whole) -> str:
    """``source.affine`` for ``x``, also of tensors by a convolution, so that what comes next stays in the layout."""
    if not isinstance(source, Existing):
        return source.affine(graph, x.bits, half_units, negate=False)
    scale = np.exp2(-x.bits.astype(np.float64))
    return one_tap(graph, x.shape, source.value.name, scale, half_units.astype(np.float64) * scale / 2)


def rescaled_by_magic(graph: Graph, x: Traced, source: Rescaled) -> str | None:
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
