"""Widths: all tensors of a layer have one; where a neighbour's differs, a ``requantize`` stands between them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from quaint.integer import Layer
from quaint.layers.output import requantization
from quaint.numerics import QuantParams
from quaint.patterns import Pattern
from quaint.scales import from_range
from quaint.specs import activation_spec

if TYPE_CHECKING:
    from quaint.lower import Lowering
    from quaint.numerics import QuantSpec
    from quaint.patterns import Block, CheckContext


class Observed(Pattern):
    """Ranges of 16-bit tensors are their extremes, whatever observer suits 8 bits."""

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        return super().output_spec(_observed(spec, context), block, context)

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
        """A model input is quantized in the width of the layer that reads it, unless the user says otherwise."""
        wide = activation_spec(context.target, context.config, block).dtype
        values = (value for node in block.nodes for value in node.inputs if value is not None)
        entering = any(value.is_graph_input() for value in values if value.name == block.inputs[index])
        if entering and context.config.input_dtype is None and wide.bits > spec.dtype.bits:
            spec = replace(spec, dtype=wide)
        return super().input_spec(_observed(spec, context), block, index, context)


def _observed(spec: QuantSpec, context: CheckContext) -> QuantSpec:
    """16 bits resolve the whole range, and histograms do not resolve 16 bits."""
    chip = context.target
    if spec.dtype.bits > 8 and spec.observer in {chip.activation.observer, (chip.input or chip.activation).observer}:
        return replace(spec, observer="minmax", round_exponent="up")
    return spec


class OneWidth(Observed):
    """Brings inputs of another width to the width of the layer's output before the layer is lowered."""

    def lower(self, block: Block, context: Lowering) -> list[Layer]:
        bits = context.params[block.outputs[0]].dtype.bits
        before: list[Layer] = []
        names = list(block.inputs)
        for index, name in enumerate(names):
            source = context.params[name]
            if source.dtype.bits == bits:
                continue
            wanted = self._converted(block, name, source, context)
            names[index] = f"{block.outputs[0]}_{name}_int{bits}"
            if names[index] in names[:index]:
                continue  # both operands are this tensor
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
