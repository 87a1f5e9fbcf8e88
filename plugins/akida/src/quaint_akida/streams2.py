"""Akida 2's layers that remember frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quaint import graph
from quaint.integer import Layer
from quaint_akida import common
from quaint_akida.entrance import is_input
from quaint_akida.limits2 import check_frames
from quaint_akida.scaling2 import Scaled

if TYPE_CHECKING:
    from quaint.lower import Lowering
    from quaint.patterns import Block, Builder, CheckContext


class BufferTempConv(Scaled):
    """BufferTempConv and DepthwiseBufferTempConv: a convolution over time alone, which looks back and never ahead.

    In the float model, time is axis 2: [N, channels, frames, rows, columns] or [N, channels, frames], a kernel of
    [frames, 1, 1] and as many zero frames less one before the first. On the chip, frames are the batch.
    """

    accumulator_bits = 32

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any) -> Any:
        conv = op.Conv(x, weight, bias)
        return op.Relu(conv), conv

    def check(self, context: CheckContext, block: Block, x: Any, weight: Any, **_: Any) -> bool:
        if common.weights_of(context, weight) is None:
            return False
        if is_input(x, context.config):
            return context.fail("cannot be the first layer: it needs a convolution before it")
        return check_frames(context, block)

    def lower(self, block: Block, context: Lowering) -> Layer:
        source, node = context.params[block.inputs[0]], block.nodes[0]
        depthwise = common.is_depthwise(node)
        weight = common.fold_input_scale(block.constant("weight"), source, axis=0 if depthwise else 1)
        constants, attributes = self.products(block, context, weight, source)
        attributes["group"] = int(graph.attribute(node, "group", 1))
        return Layer("buffer_temp_conv", block.inputs, block.outputs, constants, attributes)
