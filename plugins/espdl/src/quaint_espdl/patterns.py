"""What ESP-DL runs: core's layers with the runtime's restrictions and its arithmetic of averages.

All tensors of a layer have one width; where a neighbour's differs, a ``requantize`` stands between them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers import patterns as core
from quaint.layers.output import requantization
from quaint.numerics import QuantParams
from quaint.patterns import Pattern
from quaint.quantizers.ranges import from_range
from quaint.specs import activation_spec

if TYPE_CHECKING:
    from quaint.lower import Lowering
    from quaint.patterns import Block, CheckContext

MAX_RANK = 4


class OneWidth(Pattern):
    """Brings inputs of another width to the width of the layer's output before the layer is lowered."""

    def lower(self, block: Block, context: Lowering) -> list[Layer]:  # noqa: D102
        bits = context.params[block.outputs[0]].dtype.bits
        before: list[Layer] = []
        names = list(block.inputs)
        for index, name in enumerate(names):
            source = context.params[name]
            if source.dtype.bits == bits:
                continue
            wanted = self._converted(block, name, source, context)
            names[index] = f"{block.outputs[0]}_{name}_int{bits}"
            context.define(names[index], name, wanted)
            stage, attributes = requantization(context.target, source.scale, wanted)
            converter = f"{block.name}_int{bits}_{index}"
            before.append(Layer("requantize", (name,), (names[index],), stage, attributes, converter, (block.name,)))
        lowered = super().lower(replace(block, inputs=tuple(names)), context)
        return [*before, *((lowered,) if isinstance(lowered, Layer) else lowered)]

    def _converted(self, block: Block, name: str, source: QuantParams, context: Lowering) -> QuantParams:
        """The tensor at the layer's width: every bit kept on the way up, the observed range on the way down."""
        dtype = context.params[block.outputs[0]].dtype
        if dtype.bits > source.dtype.bits:
            return QuantParams(source.scale * 2.0 ** (source.dtype.bits - dtype.bits), dtype)
        spec = replace(activation_spec(context.target, context.config, block), dtype=dtype)
        return from_range(spec, context.ranges[name])


class Checked(Pattern):
    """Restrictions that all operators share."""

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:  # type: ignore[override]  # noqa: D102
        for value in block.nodes[-1].outputs:
            if (graph.rank(value) or 0) > MAX_RANK:
                return context.fail(f"has {graph.rank(value)} axes, the runtime takes {MAX_RANK} at the most")
        return super().check(context, block=block, **bindings)


class Conv(OneWidth, Checked, core.Conv):
    """One- or two-dimensional, plain or depthwise; ReLU is part of it, any other clip a table after it."""

    activations = ("Relu",)

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:  # type: ignore[override]  # noqa: D102
        group = graph.attribute(block.node("Conv"), "group", 1)
        weight = graph.constant(bindings["weight"])
        if weight is not None and group != 1 and weight.shape[:2] != (group, 1):
            return context.fail(f"convolution in {group} groups: only 1 group, or one for each channel (depthwise)")
        return super().check(context, block=block, **bindings)


class ConvTranspose(OneWidth, Checked, core.ConvTranspose):
    """In the file zeros inserted between the pixels, then a convolution."""

    activations = ("Relu",)

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:  # type: ignore[override]  # noqa: D102
        if graph.attribute(block.node("ConvTranspose"), "group", 1) != 1:
            return context.fail("grouped transposed convolution")
        return super().check(context, block=block, **bindings)


class Gemm(OneWidth, Checked, core.Gemm):
    """Dense layer; ReLU is part of it."""

    activations = ("Relu",)


class MatMul(OneWidth, Checked, core.MatMul):
    """Product with a constant matrix; no scale for each channel (only Conv and Gemm have those)."""


class Averages(core.Averaging):
    """Averages go through float32: the sum times ``2**e_in * (1 / area) * 2**-e_out``, each factor rounded to float32."""

    def average(  # noqa: D102
        self, context: Lowering, source: QuantParams, area: Any, out: QuantParams
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        _, attributes = requantization(context.target, np.asarray(source.scale), out)
        inverse = np.float32(1) / np.asarray(area, np.float32)
        multiplier = np.float32(source.scale) * inverse * np.float32(1 / out.scale)
        return {"multiplier": np.asarray(multiplier, np.float32)}, attributes


class AveragePool(OneWidth, Checked, Averages, core.AveragePool):
    """One- or two-dimensional average pooling."""


class GlobalAveragePool(OneWidth, Checked, Averages, core.GlobalAveragePool):
    """Average over the whole map."""


class Add(OneWidth, Checked, core.Add):
    """Sum of tensors of one exponent; in the file ReLU or Clip is a node of its own, so it is not drawn here."""

    def pattern(self, op: Any, x: Any, y: Any) -> Any:  # type: ignore[override]  # noqa: D102
        return op.Add(x, y)


class Concat(OneWidth, Checked, core.Concat):
    """Tensors of one exponent, joined."""


class Mul(OneWidth, Checked, core.Mul):
    """Product of two tensors."""


class Table(Checked, core.Table):
    """An elementwise function as a table of 256 entries."""

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:  # type: ignore[override]  # noqa: D102
        if activation_spec(context.target, context.config, block).dtype.bits != 8:
            return context.fail("as a table it has 8 bits")
        return super().check(context, block=block, **bindings)


class MaxPool(Checked, core.MaxPool):
    """Max pooling without dilation."""

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:  # type: ignore[override]  # noqa: D102
        if any(step != 1 for step in graph.attribute(block.node("MaxPool"), "dilations", ())):
            return context.fail("max pooling with dilation")
        return super().check(context, block=block, **bindings)


class Activation(Checked, core.Activation):
    """ReLU, or Clip as a table, on the input's exponent."""


class Move(Checked, core.Move):
    """Reshape, Flatten, Transpose."""


PATTERNS: tuple[type[Pattern], ...] = (
    Conv, ConvTranspose, Gemm, MatMul, Add, Concat, MaxPool, AveragePool, GlobalAveragePool, Table, Mul, Activation, Move,
)  # fmt: skip

