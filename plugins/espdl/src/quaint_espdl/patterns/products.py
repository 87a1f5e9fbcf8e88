"""Sums of products, within the limits of the chip's accumulator."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quaint import graph
from quaint.integer import Layer
from quaint.layers import products
from quaint_espdl.accumulators import limited, never_negative
from quaint_espdl.limits import shifted_right

if TYPE_CHECKING:
    from quaint.lower import Lowering
    from quaint.patterns import Block, CheckContext
from quaint_espdl.patterns.groups import DenseConv, DenseConvTranspose
from quaint_espdl.patterns.widths import OneWidth


class Accumulating(OneWidth):
    """A sum of products, within the limits of the chip's accumulator."""

    def lower(self, block: Block, context: Lowering) -> list[Layer]:
        *before, layer = super().lower(block, context)
        layer, *clipped = unclipped(layer, block, context)
        positive = never_negative(context.plan.values[block.inputs[0]])
        dtype = context.params[layer.inputs[0]].dtype  # after a change of width
        layer, warning = limited(layer, context.target, dtype, positive=positive)
        if warning:
            context.warnings.append(f"layer {block.name!r}: {warning}")
        return [*before, *shifted_right(layer, replace(block, outputs=layer.outputs), context), *clipped]


def unclipped(layer: Layer, block: Block, context: Lowering) -> list[Layer]:
    """The layer, whose activation is nothing or ReLU, and a clip after it unless its integers end where the clip's do."""
    (name,) = layer.outputs
    out = context.params[name]
    low, high = layer.attributes["low"], layer.attributes["high"]
    if high == out.dtype.high and low in {0, out.dtype.low}:
        return [layer]
    clip = block.nodes[-1].name or ""
    made = f"{name}_unclipped"
    context.define(made, name, out)
    attributes = {**layer.attributes, "low": out.dtype.low, "high": out.dtype.high}
    computing = replace(layer, outputs=(made,), attributes=attributes, nodes=block.node_names[:-1])
    return [computing, Layer("clip", (made,), (name,), {}, {"low": low, "high": high}, clip, (clip,))]


class Conv(Accumulating, DenseConv):
    """One- or two-dimensional, depthwise or in one group; ReLU is part of it, and any clip that saturation makes."""


class ConvTranspose(Accumulating, DenseConvTranspose):
    """In the file zeros inserted between the pixels, then a convolution."""

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        weight = graph.constant(bindings["weight"])
        if weight is not None:
            wish = products.attributes(block, "ConvTranspose", ("dilations", "pads"))
            reach = [step * (n - 1) for n, step in zip(weight.shape[2:], wish["dilations"], strict=True)]
            if any(pad > n for pad, n in zip(wish["pads"], (*reach, *reach), strict=True)):
                return context.fail("transposed convolution that crops more than its kernel reaches")
        return super().check(context, block=block, **bindings)


class Gemm(Accumulating, products.Gemm):
    """Dense layer; activations as of Conv."""


class MatMul(Accumulating, products.MatMul):
    """Product with a constant matrix: the runtime's Gemm takes a tensor of any rank."""
