"""In which layout a layer's tensors are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint_espdl.writing.graph import channel_last, original

if TYPE_CHECKING:
    from quaint.integer import Layer
    from quaint_espdl.writing.graph import GraphWriter, Layout


def together(writer: GraphWriter, layer: Layer) -> tuple[list[str], str, Layout]:
    """Names of inputs, a constant one last, and of the output in one layout: channel last if an input of full rank is so."""
    rank = len(writer.shape(layer.outputs[0]))
    same_rank = all(len(writer.shape(name)) == rank for name in layer.inputs)
    last = same_rank and any(writer.layout(name) == channel_last(rank) for name in layer.inputs)
    layout = channel_last(rank) if last else original(rank)
    sources = [writer.take(name, layout if same_rank else original(len(writer.shape(name)))) for name in layer.inputs]
    if "constant" in layer.constants:
        sources.append(_constant(writer, layer, layout))
    return sources, writer.declare(layer.outputs[0], layout), layout


def _constant(writer: GraphWriter, layer: Layer, layout: Layout) -> str:
    """The constant operand, which has the output's rank, in the layout of the others."""
    name = f"{layer.name}/constant"
    values = np.ascontiguousarray(layer.constants["constant"].transpose(layout))
    return writer.constant(f"{layer.name}.constant", values, (writer.exponent(name),))
