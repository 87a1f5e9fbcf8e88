"""Sums of products, within the limits of the chip's accumulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quaint import graph
from quaint.layers import products
from quaint_espdl.limits import shifted_right, warn_of_saturation

if TYPE_CHECKING:
    from quaint.integer import Layer
    from quaint.lower import Lowering
    from quaint.patterns import Block, CheckContext
from quaint_espdl.patterns.widths import OneWidth


class Accumulating(OneWidth):
    """A sum of products, within the limits of the chip's accumulator."""

    def lower(self, block: Block, context: Lowering) -> list[Layer]:
        *before, layer = super().lower(block, context)
        warn_of_saturation(layer, block, context)
        return [*before, *shifted_right(layer, block, context)]


class Conv(Accumulating, products.Conv):
    """One- or two-dimensional, plain or depthwise; ReLU is part of it, any other clip a table after it."""

    activations = ("Relu",)

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        group = graph.attribute(block.nodes[0], "group", 1)
        weight = graph.constant(bindings["weight"])
        if weight is not None and group != 1 and weight.shape[:2] != (group, 1):
            return context.fail(f"convolution in {group} groups: only 1 group, or one for each channel (depthwise)")
        return super().check(context, block=block, **bindings)


class ConvTranspose(Accumulating, products.ConvTranspose):
    """In the file zeros inserted between the pixels, then a convolution."""

    activations = ("Relu",)

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        node, weight = block.nodes[0], graph.constant(bindings["weight"])
        if graph.attribute(node, "group", 1) != 1:
            return context.fail("grouped transposed convolution")
        if weight is not None:
            wish = products.attributes(block, "ConvTranspose", ("dilations", "pads"))
            reach = [step * (n - 1) for n, step in zip(weight.shape[2:], wish["dilations"], strict=True)]
            if any(pad > n for pad, n in zip(wish["pads"], (*reach, *reach), strict=True)):
                return context.fail("transposed convolution that crops more than its kernel reaches")
        return super().check(context, block=block, **bindings)


class Gemm(Accumulating, products.Gemm):
    """Dense layer; ReLU is part of it."""

    activations = ("Relu",)


class MatMul(Accumulating, products.MatMul):
    """Product with a constant matrix: the runtime's Gemm takes a tensor of any rank."""
