"""Reductions as nodes of the runtime, axes counted as the layout has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from quaint.integer import Layer
    from quaint_espdl.writing.graph import GraphWriter


def reduction(writer: GraphWriter, layer: Layer) -> None:
    """A reduction; the axes that are left stay in the order in which the input has them."""
    source, output = layer.inputs[0], layer.outputs[0]
    axes, layout = layer.attributes["axes"], writer.layout(source)
    keepdims = len(writer.shape(output)) == len(layout)
    kept = [axis for axis in layout if axis not in axes]
    left = layout if keepdims else tuple(sorted(kept).index(axis) for axis in kept)
    listed = np.asarray(sorted(layout.index(axis) for axis in axes), np.int64)
    inputs = (writer.take(source, layout), writer.constant(f"{layer.name}.axes", listed))
    made = writer.declare(output, left)
    operator = _operator(layer)
    writer.node(operator, layer.name, inputs, (made,), writer.params(output), keepdims=int(keepdims))


def _operator(layer: Layer) -> str:
    """The runtime's name for what a kernel computes."""
    if layer.op == "reduce_max":
        return "ReduceMax" if layer.attributes["largest"] else "ReduceMin"
    if layer.op == "ReduceSum":
        return "ReduceMean" if "divisor" in layer.attributes else "ReduceSum"
    return str(layer.attributes.get("function", "ReduceMean"))


#: The kernels that are written as reductions.
REDUCING = ("reduce_max", "ReduceSum", "ReduceMean", "Reduce")
