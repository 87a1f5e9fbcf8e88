"""Layers that most chips have, lowered to core's kernels under the target's number formats.

A chip's plugin lists the ones that it has, as they are or subclassed with its own ``check``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers.functions import FUNCTIONS, apply
from quaint.layers.kernels import window_counts
from quaint.layers.output import bounds, clamp_of, requantization
from quaint.layers.products import WINDOW, Computing, Conv, ConvTranspose, Gemm, MatMul, attributes
from quaint.patterns import Builder, Pattern, Sharing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.lower import Lowering
    from quaint.numerics import QuantParams, QuantSpec
    from quaint.patterns import Block, CheckContext


class Aligned(Pattern):
    """Layers whose inputs must be on the output's scale: where one is not, a ``requantize`` goes before it."""

    sharing = Sharing.INPUTS_AS_OUTPUT

    def align(self, block: Block, context: Lowering) -> tuple[list[Layer], tuple[str, ...]]:
        """The conversions that are needed, and the names of the inputs after them."""
        *sources, out = context.edges(block)
        layers, names = [], []
        for index, (name, source) in enumerate(zip(block.inputs, sources, strict=True)):
            if source == out:
                names.append(name)
                continue
            aligned = f"{block.outputs[0]}_input{index}"
            context.define(aligned, name, out)
            converter = self.convert(name, aligned, source, out, context)
            layers.append(replace(converter, name=f"{block.name}_input{index}", nodes=(block.name,)))
            names.append(aligned)
        return layers, tuple(names)

    def convert(self, name: str, aligned: str, source: QuantParams, out: QuantParams, context: Lowering) -> Layer:
        """The layer that brings a tensor to the output's scale."""
        stage, attrs = requantization(context.target, source.scale, out)
        return Layer("requantize", (name,), (aligned,), stage, attrs | {"input_zero_point": int(source.zero_point)})


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


class Passive(Pattern):
    """Layers that move integers and keep their scale."""

    sharing = Sharing.OUTPUT_AS_INPUT

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        """Irrelevant: the output takes the input's parameters."""
        return spec


class MaxPool(Passive):
    """Max pooling."""

    def pattern(self, op: Builder, x: Any) -> Any:
        return op.MaxPool(x)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        found = attributes(block, "MaxPool", ("kernel_shape", *WINDOW, "ceil_mode"))
        return Layer("max_pool", block.inputs, block.outputs, {}, found | {"ceil_mode": bool(found["ceil_mode"])})


class Activation(Passive):
    """ReLU or Clip by itself: on the input's scale."""

    cuts_off = True

    def pattern(self, op: Builder, x: Any, low: Any, high: Any) -> Any:
        return op.Relu(x), op.Clip(x, low, high)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        low, high = bounds(context.params[block.outputs[0]], clamp_of(block))
        return Layer("clip", block.inputs, block.outputs, {}, {"low": low, "high": high})


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
        return all(step == 1 for step in steps) or context.fail("dilated average pooling")

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        source, out = context.edges(block)
        found = attributes(block, "AveragePool", ("kernel_shape", "strides", "pads", "ceil_mode"))
        found["ceil_mode"] = bool(found["ceil_mode"])
        stage, attrs = self.average(context, source, self.area(block, context), out)
        attrs |= found | {"input_zero_point": int(source.zero_point)}
        return Layer("average_pool", block.inputs, block.outputs, stage, attrs)

    def area(self, block: Block, context: Lowering) -> Any:
        """Pixels that a window averages: a number, or one for each position of the map."""
        found = attributes(block, "AveragePool", ("kernel_shape", "strides", "pads", "count_include_pad", "ceil_mode"))
        size = [int(n or 0) for n in context.shape(block.inputs[0])[2:]]
        counts = window_counts(
            size, found["kernel_shape"], found["strides"], found["pads"], ceil_mode=bool(found["ceil_mode"])
        )
        whole = int(np.prod(found["kernel_shape"]))
        return float(whole) if found["count_include_pad"] or (counts == whole).all() else counts.astype(np.float64)


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


#: Everything in the order in which it is tried: the longest first.
STANDARD: tuple[type[Pattern], ...] = (
    Conv, ConvTranspose, Gemm, MatMul, Add, Concat, MaxPool, AveragePool, GlobalAveragePool, Table, Mul, Activation, Move,
)  # fmt: skip

__all__ = [
    "STANDARD",
    "Activation",
    "Add",
    "Aligned",
    "AveragePool",
    "Averaging",
    "Computing",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Gemm",
    "GlobalAveragePool",
    "MatMul",
    "MaxPool",
    "Move",
    "Mul",
    "Passive",
    "Table",
    "attributes",
]
