"""What the weights of a convolution are multiplied with, as rows of a matrix."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.quantizers.weights import array

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    Array = NDArray[Any]


def operands(node: ir.Node, x: Array, limit: int) -> Array:
    """Operands of the products of a Conv or Gemm at some places of its output.

    Args:
        node: the Conv or Gemm.
        x: its input, float32 [samples, channels, ...].
        limit: how many places at the most, evenly spread over all samples.

    Returns:
        float32 [groups, places, weights of a filter], the last in the order of ONNX's weights.
    """
    if node.op_type == "Gemm":
        return np.asarray(x[None, _spread(len(x), limit)], np.float32)
    weight, group = array(node, 1), int(graph.attribute(node, "group", 1))
    window = weight.shape[2:]
    rank, (samples, channels) = len(window), x.shape[:2]
    strides, dilations = (graph.attribute(node, name) or [1] * rank for name in ("strides", "dilations"))
    pads = graph.attribute(node, "pads") or [0] * (2 * rank)
    if any(pads):
        x = np.pad(x, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    reach = [(size - 1) * step for size, step in zip(window, dilations, strict=True)]
    sizes = [(n - r - 1) // s + 1 for n, r, s in zip(x.shape[2:], reach, strides, strict=True)]
    places = np.unravel_index(_spread(samples * math.prod(sizes), limit), (samples, *sizes))
    taps = np.unravel_index(np.arange(math.prod(window)), window)
    index = [
        place[:, None] * stride + tap * step
        for place, stride, tap, step in zip(places[1:], strides, taps, dilations, strict=True)
    ]
    found = np.moveaxis(x, 1, -1)[(places[0][:, None], *index)]  # [places, taps, channels]
    rows = found.swapaxes(1, 2).reshape(len(found), group, channels // group * len(taps[0]))
    return np.ascontiguousarray(rows.swapaxes(0, 1), np.float32)


def _spread(count: int, limit: int) -> NDArray[np.intp]:
    """At most ``limit`` of ``count`` indices, evenly spread."""
    return np.linspace(0, count - 1, min(count, limit)).astype(np.intp)
