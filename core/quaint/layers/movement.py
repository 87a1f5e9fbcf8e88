"""Layers that move integers, lowered to core's kernels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quaint import graph
from quaint.integer import Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.lower import Lowering
    from quaint.numerics import QuantSpec
    from quaint.patterns import Block, Builder, CheckContext
from quaint.layers.sharing import Aligned, Passive


class Concat(Aligned):
    """Tensors joined along an axis other than the batch."""

    def pattern(self, op: Builder, *xs: Any) -> Any:
        return op.Concat(*xs)

    def check(self, context: CheckContext, block: Block, xs: Any, **_: Any) -> bool:
        if any(graph.constant(x) is not None for x in xs):
            return context.fail("joins a constant")
        if self.axis(block) == 0:
            return context.fail("joins along the batch")
        return True

    def axis(self, block: Block) -> int:
        """The axis, counted from the front."""
        axis = int(graph.attribute(block.nodes[0], "axis"))
        return axis if axis >= 0 else axis + (graph.rank(block.nodes[0].outputs[0]) or 0)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        layers, names = self.align(block, context)
        return [*layers, Layer("concat", names, block.outputs, {}, {"axis": self.axis(block)})]


class Move(Passive):
    """Reshape, Flatten and Transpose, the batch left in place."""

    def pattern(self, op: Builder, x: Any, shape: Any) -> Any:
        return op.one_of("Flatten", "Transpose")(x), op.Reshape(x, shape)

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        node = block.nodes[0]
        if node.op_type == "Transpose" and graph.attribute(node, "perm")[0] != 0:
            return context.fail("moves the batch axis")
        if node.op_type == "Reshape" and graph.constant(node.inputs[1]) is None:
            return context.fail("its shape is not constant")
        return True

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
        return replace(spec, axis=None)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        node = block.nodes[0]
        if node.op_type == "Transpose":
            return Layer("transpose", block.inputs, block.outputs, {}, {"perm": list(graph.attribute(node, "perm"))})
        shape = [0, -1] if node.op_type == "Flatten" else [int(n) for n in block.constant("shape")]
        return Layer("reshape", block.inputs, block.outputs, {}, {"shape": shape})
