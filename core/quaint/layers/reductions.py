"""Reductions over axes other than the batch, lowered to core's kernels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers.output import requantization
from quaint.layers.sharing import Passive
from quaint.patterns import Builder, Pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.lower import Lowering
    from quaint.patterns import Block, CheckContext


def reduced_axes(block: Block) -> list[int]:
    """The axes that a canonical reduction goes over, sorted."""
    return [int(axis) for axis in block.constant("axes")]


def geometry(block: Block) -> dict[str, Any]:
    """Attributes of a reduction's kernel: axes, and whether they stay with size 1."""
    return {"axes": reduced_axes(block), "keepdims": bool(graph.attribute(block.nodes[0], "keepdims", 1))}


def reduced_count(block: Block, context: Lowering) -> int:
    """How many elements go into one of the output's."""
    shape = context.shape(block.inputs[0])
    return math.prod(shape[axis] or 1 for axis in reduced_axes(block))


class Reducing(Pattern):
    """What all reductions share: constant axes, and the batch is none of them."""

    def check(self, context: CheckContext, axes: Any, **_: Any) -> bool:
        listed = graph.constant(axes)
        if listed is None:
            return context.fail("its axes are not constant")
        return 0 not in listed.reshape(-1) or context.fail("reduces the batch")


class ReduceSum(Reducing):
    """Sum or mean over axes."""

    def pattern(self, op: Builder, x: Any, axes: Any) -> Any:
        return op.one_of("ReduceSum", "ReduceMean")(x, axes)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        source, out = context.edges(block)
        count = reduced_count(block, context) if block.node("ReduceMean") else 1
        stage, attributes = requantization(context.target, np.asarray(source.scale / count), out)
        attributes |= geometry(block) | {"input_zero_point": int(source.zero_point)}
        return Layer("reduce_sum", block.inputs, block.outputs, stage, attributes)


class ReduceMax(Reducing, Passive):
    """Largest or smallest number along axes."""

    def pattern(self, op: Builder, x: Any, axes: Any) -> Any:
        return op.one_of("ReduceMax", "ReduceMin")(x, axes)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        largest = block.nodes[0].op_type == "ReduceMax"
        return Layer("reduce_max", block.inputs, block.outputs, {}, geometry(block) | {"largest": largest})


class GlobalMaxPool(Passive):
    """Largest number of the whole map."""

    def pattern(self, op: Builder, x: Any) -> Any:
        return op.GlobalMaxPool(x)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        size = [int(n or 0) for n in context.shape(block.inputs[0])[2:]]
        ones, none = [1] * len(size), [0] * 2 * len(size)
        window = {"kernel_shape": size, "strides": ones, "dilations": ones, "pads": none, "ceil_mode": False}
        return Layer("max_pool", block.inputs, block.outputs, {}, window)
