"""Maxima and averages over windows, lowered to core's kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers.kernels import window_counts
from quaint.layers.output import requantization
from quaint.layers.products import WINDOW, attributes
from quaint.layers.sharing import Passive
from quaint.patterns import Builder, Pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.numerics import QuantParams
    from quaint.patterns import Block, CheckContext


def fits(block: Block) -> bool:
    """Whether a pooling's window is no larger than the map with its borders; runtimes disagree about any other."""
    node = block.nodes[0]
    found = attributes(block, node.op_type, ("kernel_shape", *WINDOW, "ceil_mode"))
    rank = len(found["kernel_shape"])
    dilations, pads = found["dilations"] or [1] * rank, found["pads"]
    reach = [(n - 1) * step + 1 for n, step in zip(found["kernel_shape"], dilations, strict=True)]
    size = [n for n in (graph.dims(node.inputs[0]) or ())[2:] if isinstance(n, int)]
    room = [n + begin + end for n, begin, end in zip(size, pads[:rank], pads[rank:], strict=True)]
    return all(n <= size for n, size in zip(reach, room, strict=True))


def divisors(block: Block) -> NDArray[np.int64]:
    """By how many pixels an average pooling divides at each position of the map.

    The border counts or not (``count_include_pad``); what ``ceil_mode`` adds behind the border never does.
    """
    node = block.nodes[0]
    found = attributes(block, node.op_type, ("kernel_shape", "strides", "pads", "count_include_pad", "ceil_mode"))
    kernel, strides, pads, ceil_mode = (
        found["kernel_shape"], found["strides"], found["pads"], bool(found["ceil_mode"])
    )  # fmt: skip
    size = [n for n in (graph.dims(node.inputs[0]) or ())[2:] if isinstance(n, int)]
    counts = window_counts(size, kernel, strides, pads, ceil_mode=ceil_mode)
    if not found["count_include_pad"]:
        return counts
    rank = len(size)
    bordered = [n + begin + end for n, begin, end in zip(size, pads[:rank], pads[rank:], strict=True)]
    within = window_counts(bordered, kernel, strides, [0] * 2 * rank, ceil_mode=ceil_mode)
    return within[tuple(slice(n) for n in counts.shape)]


class MaxPool(Passive):
    """Max pooling."""

    def pattern(self, op: Builder, x: Any) -> Any:
        return op.MaxPool(x)

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        return fits(block) or context.fail("its window is larger than the map")

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        found = attributes(block, "MaxPool", ("kernel_shape", *WINDOW, "ceil_mode"))
        return Layer("max_pool", block.inputs, block.outputs, {}, found | {"ceil_mode": bool(found["ceil_mode"])})


class Averaging(Pattern):
    """What average poolings share: the division by the area belongs to the requantization."""

    def average(
        self, context: Lowering, source: QuantParams, area: Any, out: QuantParams
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Constants and attributes from a sum over ``area`` pixels to the output."""
        return requantization(context.target, np.asarray(source.scale / area), out)


class AveragePool(Averaging):
    """Average pooling; borders are counted or not, as ONNX says."""

    def pattern(self, op: Builder, x: Any) -> Any:
        return op.AveragePool(x)

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        steps = graph.attribute(block.nodes[0], "dilations", ())
        if any(step != 1 for step in steps):
            return context.fail("dilated average pooling")
        return fits(block) or context.fail("its window is larger than the map")

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        source, out = context.edges(block)
        found = attributes(block, "AveragePool", ("kernel_shape", "strides", "pads", "ceil_mode"))
        found["ceil_mode"] = bool(found["ceil_mode"])
        stage, attrs = self.average(context, source, self.area(block, context), out)
        attrs |= found | {"input_zero_point": int(source.zero_point)}
        return Layer("average_pool", block.inputs, block.outputs, stage, attrs)

    def area(self, block: Block, context: Lowering) -> Any:
        """Pixels that a window averages: a number, or one for each position of the map."""
        counts, whole = divisors(block), int(np.prod(graph.attribute(block.nodes[0], "kernel_shape")))
        return float(whole) if (counts == whole).all() else counts.astype(np.float64)


class GlobalAveragePool(Averaging):
    """Average over the whole map."""

    def pattern(self, op: Builder, x: Any) -> Any:
        return op.GlobalAveragePool(x)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        source, out = context.edges(block)
        area = float(np.prod([int(n or 0) for n in context.shape(block.inputs[0])[2:]]))
        stage, attrs = self.average(context, source, area, out)
        attrs |= {"input_zero_point": int(source.zero_point)}
        return Layer("global_average_pool", block.inputs, block.outputs, stage, attrs)
