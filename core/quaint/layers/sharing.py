"""Layers whose tensors share one scale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from quaint.integer import Layer
from quaint.layers.output import requantization
from quaint.patterns import Pattern, Sharing

if TYPE_CHECKING:
    from quaint.lower import Lowering
    from quaint.numerics import QuantParams, QuantSpec
    from quaint.patterns import Block, CheckContext


class Aligned(Pattern):
    """Layers whose inputs must be on the output's scale: where one is not, a ``requantize`` goes before it."""

    sharing = Sharing.INPUTS_AS_OUTPUT

    def align(
        self, block: Block, context: Lowering, common: QuantParams | None = None
    ) -> tuple[list[Layer], tuple[str, ...]]:
        """The conversions to ``common`` (the output's parameters if None), and the names of the inputs after them."""
        out = common or context.params[block.outputs[0]]
        layers, names = [], []
        for index, name in enumerate(block.inputs):
            source = context.params[name]
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


class Passive(Pattern):
    """Layers that move integers and keep their scale."""

    sharing = Sharing.OUTPUT_AS_INPUT

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        """Irrelevant: the output takes the input's parameters."""
        return spec
