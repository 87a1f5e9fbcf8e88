"""Softmax and norms: float32 inside the runtime, integers at both ends."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers.constants import own_params
from quaint.patterns import Pattern
from quaint_espdl.patterns.widths import OneWidth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.numerics import QuantSpec
    from quaint.patterns import Block, Builder, CheckContext

#: Largest argument of which the exponential is a float32.
LARGEST_EXPONENT = math.log(np.finfo(np.float32).max)
#: What is added to a norm lest it be zero; the runtime gives zeros there.
NEGLIGIBLE = 1e-6


def float_stage(block: Block, context: Lowering) -> dict[str, Any]:
    """The scale of the (first) input, and what the output stage of float kernels asks."""
    source, out = context.params[block.inputs[0]], context.params[block.outputs[0]]
    stage = {"low": out.dtype.low, "high": out.dtype.high, "rounding": str(context.target.rounding)}
    return {"scale": float(source.scale), "out_scale": float(out.scale), **stage}


def _last_axis(block: Block, axes: Sequence[int]) -> bool:
    rank = graph.rank(block.bindings["x"]) or 0
    return [axis % rank for axis in axes] == [rank - 1]


class Probabilities(Pattern):
    """Softmax and LogSoftmax before other layers; the last one of a model gives floats and is no layer of integers."""

    def pattern(self, op: Builder, x: Any) -> Any:
        return op.one_of("Softmax", "LogSoftmax")(x)

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        if block.nodes[-1].outputs[0].is_graph_output():
            return context.fail("an output of the model: its floats are not quantized")
        return True

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        """Probabilities matter all, the rare large ones most: the range is what was seen."""
        if spec.observer == context.target.activation.observer:
            spec = replace(spec, observer="minmax")
        return super().output_spec(spec, block, context)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        node, (name,) = block.nodes[-1], block.inputs
        source, axis = context.params[name], graph.attribute(node, "axis", -1)
        count = context.shape(name)[axis] or 1
        if node.op_type == "Softmax" and source.dtype.bits == 8:
            most = source.dtype.high * float(source.scale)
            if most + math.log(count) > LARGEST_EXPONENT:
                context.warnings.append(
                    f"layer {block.name!r}: the runtime's exponential of inputs up to {most:.0f} overflows; give it 16 bits"
                )
        given = {"axis": axis, "bits": source.dtype.bits, **float_stage(block, context)}
        return Layer(node.op_type, block.inputs, block.outputs, {}, given)


class LayerNorm(Pattern):
    """Layer normalization of the last axis; scale and bias are integers in the file."""

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any) -> Any:
        return op.LayerNormalization(x, weight, bias), op.LayerNormalization(x, weight)

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        if not _last_axis(block, [graph.attribute(block.nodes[-1], "axis", -1)]):
            return context.fail("normalizes more than the last axis")
        if any(
            graph.constant(block.bindings.get(name, block.bindings["weight"])) is None for name in ("weight", "bias")
        ):
            return context.fail("its scale and bias are not constants")
        return True

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        constants = {name: _stored(block, context, name) for name in ("weight", "bias") if name in block.bindings}
        epsilon = graph.attribute(block.nodes[-1], "epsilon", 1e-5)
        given = {"axis": len(context.shape(block.inputs[0])) - 1, "epsilon": epsilon, **float_stage(block, context)}
        return Layer("LayerNormalization", block.inputs, block.outputs, constants, given)


def _stored(block: Block, context: Lowering, name: str) -> NDArray[np.float32]:
    """A constant as the reals that its integers in the file stand for; states them as ``LAYER/name``."""
    values = block.constant(name).reshape(-1)
    params = context.params[f"{block.name}/{name}"] = own_params(block, context, values)
    return params.dequantize(params.quantize(values, context.target.rounding)).astype(np.float32)


class RmsNorm(Pattern):
    """Root mean square normalization of the last axis, as exporters write it out; its scale stays in float32."""

    def pattern(self, op: Builder, x: Any, two: Any, axes: Any, epsilon: Any, one: Any, weight: Any) -> Any:
        drawings = []
        squares = op.Mul(x, x), op.Pow(x, two)
        means = [op.ReduceMean(square, axes) for square in squares] + [
            op.GlobalAveragePool(square) for square in squares
        ]
        for mean in means:  # of three axes the canonical mean of the last is a global one
            root = op.Sqrt(op.Add(mean, epsilon))
            for normed in (op.Div(x, root), op.Mul(x, op.Reciprocal(root)), op.Mul(x, op.Div(one, root))):
                drawings += [op.Mul(normed, weight), normed]
        return tuple(drawings)

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        expected = {"two": 2.0, "one": 1.0}
        wrong = [name for name, value in expected.items() if name in bindings and graph.scalar(bindings[name]) != value]
        axes, epsilon = _mean_axes(block), graph.scalar(bindings["epsilon"])
        if wrong or not axes or epsilon is None:
            return context.fail("no root mean square normalization")
        if not _last_axis(block, axes):
            return context.fail("normalizes other axes than the last")
        weight = graph.constant(bindings["weight"]) if "weight" in bindings else np.ones(1)
        size = (graph.dims(bindings["x"]) or (None,))[-1]
        if weight is None or weight.size not in {1, size} or weight.shape[-1:] != (weight.size,):
            return context.fail("its scale is not a constant of the last axis")
        return True

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        shape = context.shape(block.inputs[0])
        weight = block.constant("weight") if "weight" in block.bindings else np.ones(1)
        given = {"axis": len(shape) - 1, "epsilon": block.constant("epsilon").item(), **float_stage(block, context)}
        scale = np.broadcast_to(weight.reshape(-1), (shape[-1] or 1,)).astype(np.float32)
        return Layer("RMSNormalization", block.inputs, block.outputs, {"weight": scale}, given)


def _mean_axes(block: Block) -> list[int]:
    """The axes of the block's mean, which keeps them; none if it does not, or they are not known."""
    node = block.node("ReduceMean")
    if node is None:
        mean = block.node("GlobalAveragePool")
        return list(range(2, graph.rank(mean.outputs[0]) or 2)) if mean else []
    axes = graph.constant(node.inputs[1])
    return [] if axes is None or not graph.attribute(node, "keepdims", 1) else [int(axis) for axis in axes]


class LpNorm(Pattern):
    """Division by the norm along an axis."""

    def pattern(self, op: Builder, x: Any, axes: Any, least: Any, most: Any) -> Any:
        norm = op.one_of("ReduceL1", "ReduceL2")(x, axes)
        limited = op.Clip(norm, least), op.Clip(norm, least, most), op.Max(norm, least), op.Add(norm, least)
        return op.LpNormalization(x), op.Div(x, norm), *(op.Div(x, each) for each in limited)

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        reduction = block.node("ReduceL1", "ReduceL2")
        if reduction is None:
            return True
        axes = graph.constant(bindings["axes"])
        if axes is None or axes.size != 1 or not graph.attribute(reduction, "keepdims", 1):
            return context.fail("divides by a norm that is not along one axis")
        least = graph.scalar(bindings["least"]) if "least" in bindings else 0.0
        most = graph.scalar(bindings["most"]) if "most" in bindings else math.inf
        if least is None or most is None or least > NEGLIGIBLE or most < np.finfo(np.float32).max:
            return context.fail("divides by a norm within limits")
        return True

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        node, reduction = block.nodes[-1], block.node("ReduceL1", "ReduceL2")
        if reduction is None:
            axis, p = graph.attribute(node, "axis", -1), graph.attribute(node, "p", 2)
        else:
            axis, p = int(block.constant("axes").item()), 1 if reduction.op_type == "ReduceL1" else 2
        given = {"axis": axis % len(context.shape(block.inputs[0])), "p": p, **float_stage(block, context)}
        return Layer("LpNormalization", block.inputs, block.outputs, {}, given)


class Softmax(OneWidth, Probabilities):
    """Probabilities, or their logarithms, of one width with what they are of."""


class LayerNormalization(OneWidth, LayerNorm):
    """Layer normalization of one width."""


class RMSNormalization(OneWidth, RmsNorm):
    """Root mean square normalization of one width."""


class LpNormalization(OneWidth, LpNorm):
    """Division by a norm of one width."""
