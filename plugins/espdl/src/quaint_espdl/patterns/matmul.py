"""Products of two computed tensors, within the limits of the chip's accumulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.layers import patterns as core
from quaint_espdl.accumulators import limited
from quaint_espdl.limits import shifted_right
from quaint_espdl.patterns.widths import OneWidth

if TYPE_CHECKING:
    from quaint.integer import Layer
    from quaint.lower import Lowering
    from quaint.patterns import Block


class MatMulTensors(OneWidth, core.MatMulTensors):
    """Matrix product; the file holds nodes that put the right operand in the order of packed weights."""

    def lower(self, block: Block, context: Lowering) -> list[Layer]:
        *before, layer = super().lower(block, context)
        first, second = (context.shape(name) for name in block.inputs)
        size = first[-1] or 1, second[-1] or 1
        dtype = context.params[layer.inputs[0]].dtype  # after a change of width
        layer, warning = limited(layer, context.target, dtype, size)
        if warning:
            context.warnings.append(f"layer {block.name!r}: {warning}")
        return [*before, *shifted_right(layer, block, context)]
