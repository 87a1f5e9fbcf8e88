"""Layers that move integers, lowered to core's kernels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers.sharing import Aligned, Passive
from quaint.scales import Range

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx_ir as ir
    from numpy.typing import ArrayLike, NDArray

    from quaint.lower import Lowering
    from quaint.numerics import QuantParams, QuantSpec, Rounding
    from quaint.patterns import Block, Builder, CheckContext


class Concat(Aligned):
    """Tensors, and perhaps constants, joined along an axis other than the batch."""

    def pattern(self, op: Builder, *xs: Any) -> Any:
        return op.Concat(*xs)

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        if self.axis(block) == 0:
            return context.fail("joins along the batch")
        if not all(np.isfinite(values).all() for values in self.constants(block).values()):
            return context.fail("joins a constant that is not finite")
        return True

    def axis(self, block: Block) -> int:
        """The axis, counted from the front."""
        axis = int(graph.attribute(block.nodes[0], "axis"))
        return axis if axis >= 0 else axis + (graph.rank(block.nodes[0].outputs[0]) or 0)

    def constants(self, block: Block) -> dict[int, NDArray[Any]]:
        """The constant operands by their place."""
        found = {place: graph.constant(x) for place, x in enumerate(block.bindings["xs"])}
        return {place: values for place, values in found.items() if values is not None}

    def reach(self, block: Block, ranges: Mapping[str, Range]) -> Range | None:
        """Constants are on the output's scale."""
        every = [values for values in self.constants(block).values() if values.size]
        if not every:
            return None
        return Range(np.min([values.min() for values in every]), np.max([values.max() for values in every]))

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        layers, names = self.align(block, context)
        out = context.params[block.outputs[0]]
        constants = {
            f"operand{place}": on_scale(values, out, context.target.rounding)
            for place, values in self.constants(block).items()
        }
        return [*layers, Layer("concat", names, block.outputs, constants, {"axis": self.axis(block)})]


def on_scale(values: ArrayLike, params: QuantParams, rounding: Rounding) -> NDArray[Any]:
    """Constants as integers on a tensor's scale, by a division in float32 as ONNX QuantizeLinear has it; they saturate."""
    real = np.asarray(values, np.float32) / params.scale.astype(np.float32)
    whole = rounding.round(real.astype(np.float64)) + params.zero_point
    return np.asarray(np.clip(whole, params.dtype.low, params.dtype.high)).astype(params.dtype.storage)


class Moving(Passive):
    """Layers whose output consists of integers of the input, on one scale for the whole tensor."""

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
        return replace(spec, axis=None)


class Move(Moving):
    """Reshape, Flatten and Transpose, the batch left in place unless the chip has no place for it."""

    #: Whether a Transpose may put the batch elsewhere.
    moves_batch: ClassVar[bool] = False

    def pattern(self, op: Builder, x: Any, shape: Any) -> Any:
        return op.one_of("Flatten", "Transpose")(x), op.Reshape(x, shape)

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        node = block.nodes[0]
        if node.op_type == "Transpose" and graph.attribute(node, "perm")[0] != 0 and not self.moves_batch:
            return context.fail("moves the batch axis")
        if node.op_type == "Reshape" and graph.constant(node.inputs[1]) is None:
            return context.fail("its shape is not constant")
        return True

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        node = block.nodes[0]
        if node.op_type == "Transpose":
            return Layer("transpose", block.inputs, block.outputs, {}, {"perm": list(graph.attribute(node, "perm"))})
        shape = [0, -1] if node.op_type == "Flatten" else [int(n) for n in block.constant("shape")]
        return Layer("reshape", block.inputs, block.outputs, {}, {"shape": shape})


def parameters_are_constant(context: CheckContext, block: Block) -> bool:
    """Whether all that a layer reads besides its first input is constant, and that input is not."""
    x, *others = block.nodes[0].inputs
    if graph.constant(x) is not None:
        return context.fail("picks from a constant what the input says")
    if any(value is not None and graph.constant(value) is None for value in others):
        return context.fail("its parameters are not constant")
    sizes = [_without_batch(value) for value in (x, block.nodes[-1].outputs[0])]
    if not all(isinstance(size, int) and size for each in sizes for size in each):
        return context.fail(f"its sizes are not known, or nothing is left: {[*sizes[0], *sizes[1]]}")
    return True


def _without_batch(value: ir.Value | None) -> list[graph.Dim]:
    """The sizes of a sample: without the one that is open, or else without the first."""
    sizes = list(graph.dims(value) or ())
    batch = next((axis for axis, size in enumerate(sizes) if not isinstance(size, int)), 0)
    return [*sizes[:batch], *sizes[batch + 1 :]]
