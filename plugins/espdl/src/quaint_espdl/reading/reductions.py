"""Nodes over whole axes as layers: reductions, norms, softmax, interpolation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint_espdl.kernels.interpolation import ALIGN_CORNERS, HALF_PIXEL, neighbours
from quaint_espdl.kernels.reductions import REDUCTIONS, whole_mean
from quaint_espdl.reading.view import Node, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from quaint.integer import Layer


def _axes(node: Node) -> list[int]:
    rank, listed = len(node.input(0).dims), node.optional(1)
    given = node.attributes.get("axes") if listed is None else listed.array.tolist()
    return sorted(axis % rank for axis in given) if given else list(range(rank))


def _reduction(node: Node) -> dict[str, Any]:
    return {"axes": _axes(node), "shape": list(node.output.dims)}


def reduce_sum(node: Node) -> Layer:
    """Sum, shifted."""
    x = node.input(0)
    if x.is_real:
        return reduce(node)
    return node.layer("ReduceSum", x, **_reduction(node), **node.stage(x.exponent))


def reduce_extreme(node: Node) -> Layer:
    """Raw integers: the largest or smallest."""
    if node.output.is_real:
        return reduce(node)
    return node.layer("ReduceMax", node.input(0), largest=node.op_type == "ReduceMax", **_reduction(node))


def reduce_mean(node: Node) -> Layer:
    """Mean: in integers where the runtime's two float32 operations provably round to the same."""
    x, out = node.input(0), node.output
    axes = _axes(node)
    count = math.prod(x.dims[axis] for axis in axes)
    if not x.is_real and not out.is_real:
        whole = whole_mean(count, x.exponent - out.exponent, x.integers.bits, out.integers.bits)
        if whole is not None:
            return node.layer("ReduceSum", x, **whole, **_reduction(node), **node.stage(out.exponent))
    return node.layer("ReduceMean", x, scale=x.scale, **_reduction(node), **node.float_stage())


def reduce(node: Node) -> Layer:
    """A reduction in float32."""
    x = node.input(0)
    return node.layer("Reduce", x, function=node.op_type, scale=x.scale, **_reduction(node), **node.float_stage())


def softmax(node: Node) -> Layer:
    """Probabilities, or their logarithms."""
    x = node.input(0)
    bits = 16 if x.is_real else x.integers.bits
    axis = node.attributes.get("axis", -1)
    return node.layer(node.op_type, x, scale=x.scale, axis=axis, bits=bits, **node.float_stage())


def norm(node: Node) -> Layer:
    """Layer or RMS normalization."""
    x, parameters = node.input(0), {}
    for name, index in (("weight", 1), ("bias", 2)):
        edge = node.optional(index)
        if edge is not None:
            parameters[name] = np.asarray(edge.array.astype(np.float32) * np.float32(edge.scale))
    given = {"axis": node.attributes.get("axis", -1), "epsilon": node.attributes.get("epsilon", 1e-5)}
    return node.layer(node.op_type, x, scale=x.scale, **given, **parameters, **node.float_stage())


def lp_norm(node: Node) -> Layer:
    """Division by a norm along an axis."""
    x = node.input(0)
    given = {"axis": node.attributes.get("axis", -1), "p": node.attributes.get("p", 2)}
    return node.layer(node.op_type, x, scale=x.scale, **given, **node.float_stage())


def resize(node: Node) -> Layer:
    """A map of another size: nearest entries, or linear interpolation."""
    x, out = node.input(0), node.output
    if not x.is_real and x.integers.bits != 8:
        raise Unsupported(f"{x.integers.bits}-bit Resize: the runtime leaves its output as it was")
    axes = list(range(1, len(x.dims) - 1))
    mode, place = (node.attributes.get(key) for key in ("mode", "coordinate_transformation_mode"))
    if mode == "nearest":
        if (place, node.attributes.get("nearest_mode")) != ("asymmetric", "floor"):
            raise Unsupported(f"nearest entries by {place}, {node.attributes.get('nearest_mode')}")
        indices = [_nearest(node, axis) for axis in axes]
        if x.exponent != out.exponent:
            scaled = {"shift": out.exponent - x.exponent, "rounding": str(node.chip.rounding), "bits": x.integers.bits}
            return node.layer("Nearest", x, axes=axes, indices=indices, **scaled)
        op = "FloatTake" if x.is_real else "Take"
        return node.layer(op, x, axes=axes, indices=indices, shape=list(out.dims))
    align = place == ALIGN_CORNERS
    if mode != "linear" or not (align or place in HALF_PIXEL):
        raise Unsupported(f"Resize by {mode}, {place}")
    sizes = [(x.dims[axis], out.dims[axis], _scale(node, axis)) for axis in reversed(axes)]
    lows, parts = zip(*(neighbours(*size, align_corners=align) for size in sizes), strict=True)
    sides = {"axes": axes[::-1], "low_index": list(lows), "fraction": list(parts)}
    return node.layer("Resize", x, scale=x.scale, **sides, **node.float_stage())


def _scale(node: Node, axis: int) -> np.float32:
    """Pixels of the output to one of the input; the file lists scales channel first."""
    scales = node.optional(2)
    if scales is not None:
        return np.float32(scales.array[axis + 1])
    return np.float32(node.output.dims[axis]) / np.float32(node.input(0).dims[axis])


def _nearest(node: Node, axis: int) -> list[int]:
    """For each pixel along an axis, the one at or before it."""
    places = np.arange(node.output.dims[axis], dtype=np.float32) * (np.float32(1) / _scale(node, axis))
    nearest: list[int] = np.minimum(np.floor(places), node.input(0).dims[axis] - 1).astype(int).tolist()
    return nearest


REDUCED: dict[str, Callable[[Node], Layer]] = {
    **dict.fromkeys(REDUCTIONS, reduce),
    "ReduceSum": reduce_sum,
    "ReduceMean": reduce_mean,
    "ReduceMax": reduce_extreme,
    "ReduceMin": reduce_extreme,
    "Softmax": softmax,
    "LogSoftmax": softmax,
    "LayerNormalization": norm,
    "RMSNormalization": norm,
    "LpNormalization": lp_norm,
    "Resize": resize,
}
