"""Layers on single elements, lowered to core's kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers.functions import FUNCTIONS, apply
from quaint.layers.output import bounds, clamp_of, requantization
from quaint.patterns import Builder, Pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.lower import Lowering
    from quaint.patterns import Block, CheckContext
from quaint.layers.sharing import Aligned, Passive


class Add(Aligned):
    """Sum of two tensors of one shape, with ReLU or Clip."""

    def pattern(self, op: Builder, x: Any, y: Any, low: Any, high: Any) -> Any:
        total = op.Add(x, y)
        return op.Relu(total), op.Clip(total, low, high), total

    def check(self, context: CheckContext, x: Any, y: Any, **_: Any) -> bool:
        if graph.constant(x) is not None or graph.constant(y) is not None:
            return context.fail("adds a constant")
        return True

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        layers, names = self.align(block, context)
        out = context.params[block.outputs[0]]
        stage, attrs = requantization(context.target, out.scale, out, clamp_of(block))
        zero_points = {"x_zero_point": int(out.zero_point), "y_zero_point": int(out.zero_point)}
        return [*layers, Layer("add", names, block.outputs, stage, attrs | zero_points)]


class Mul(Pattern):
    """Product of two tensors."""

    def pattern(self, op: Builder, x: Any, y: Any) -> Any:
        return op.Mul(x, y)

    def check(self, context: CheckContext, x: Any, y: Any, **_: Any) -> bool:
        if graph.constant(x) is not None or graph.constant(y) is not None:
            return context.fail("multiplies by a constant")
        return True

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        x, y, out = context.edges(block)
        stage, attrs = requantization(context.target, x.scale * y.scale, out)
        attrs |= {"x_zero_point": int(x.zero_point), "y_zero_point": int(y.zero_point)}
        return Layer("multiply", block.inputs, block.outputs, stage, attrs)


class Activation(Passive):
    """ReLU or Clip by itself: on the input's scale."""

    cuts_off = True

    def pattern(self, op: Builder, x: Any, low: Any, high: Any) -> Any:
        return op.Relu(x), op.Clip(x, low, high)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        low, high = bounds(context.params[block.outputs[0]], clamp_of(block))
        return Layer("clip", block.inputs, block.outputs, {}, {"low": low, "high": high})


class Table(Pattern):
    """An elementwise function of one tensor, as a table of its integers (8 bits at the most)."""

    op_types: ClassVar[tuple[str, ...]] = tuple(FUNCTIONS)

    def pattern(self, op: Builder, x: Any) -> Any:
        return op.Mul(x, op.Sigmoid(x)), op.one_of(*self.op_types)(x)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        source, out = context.edges(block)
        integers = np.arange(source.dtype.low, source.dtype.high + 1)
        table = out.quantize(apply(block, source.dequantize(integers)), context.target.rounding)
        constants = {"table": table.astype(out.dtype.storage)}
        return Layer("lookup", block.inputs, block.outputs, constants, {"low": source.dtype.low})
