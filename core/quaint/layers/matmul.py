"""Products of two computed tensors, lowered to core's kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quaint import graph
from quaint.integer import Layer
from quaint.layers.output import requantization
from quaint.patterns import Builder, Pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.lower import Lowering
    from quaint.patterns import Block, CheckContext


class MatMulTensors(Pattern):
    """Matrix product of two tensors, each sample by itself: attention."""

    def pattern(self, op: Builder, x: Any, y: Any) -> Any:
        return op.MatMul(x, y)

    def check(self, context: CheckContext, x: Any, y: Any, **_: Any) -> bool:
        if graph.constant(x) is not None or graph.constant(y) is not None:
            return context.fail("one operand is a constant that is no matrix of weights")
        ranks = graph.rank(x), graph.rank(y)
        if ranks[0] != ranks[1] or (ranks[0] or 0) < 3:
            return context.fail(f"operands of {ranks[0]} and {ranks[1]} axes: samples would mix")
        return True

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        x, y, out = context.edges(block)
        stage, attributes = requantization(context.target, x.scale * y.scale, out)
        attributes |= {"x_zero_point": int(x.zero_point), "y_zero_point": int(y.zero_point)}
        return Layer("matmul", block.inputs, block.outputs, stage, attributes)
