"""Operators that move numbers as nodes of the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint_espdl.writing.graph import original
from quaint_espdl.writing.layouts import together

if TYPE_CHECKING:
    from quaint.integer import Layer
from quaint_espdl.writing.graph import GraphWriter


def concat(writer: GraphWriter, layer: Layer) -> None:
    """Tensors joined along the axis as the layout has it."""
    sources, output, layout = together(writer, layer)
    axis = layout.index(layer.attributes["axis"])
    writer.node("Concat", layer.name, sources, (output,), writer.params(layer.outputs[0]), axis=axis)


def reshape(writer: GraphWriter, layer: Layer) -> None:
    """Reshape and Flatten; no Transpose before it where the original order is there anyway."""
    source, shape = writer.in_order(layer.inputs[0]), writer.shape(layer.outputs[0])
    output = writer.declare(layer.outputs[0], original(len(shape)))
    wanted = writer.constant(f"{layer.name}.shape", np.asarray(shape, np.int64))
    writer.node("Reshape", layer.name, (source, wanted), (output,), writer.params(layer.outputs[0]), allowzero=0)


def transpose(writer: GraphWriter, layer: Layer) -> None:
    """The model's own Transpose, one with what its input's layout needs."""
    layout, perm = writer.layout(layer.inputs[0]), layer.attributes["perm"]
    source = writer.take(layer.inputs[0], layout)
    output = writer.declare(layer.outputs[0], original(len(perm)))
    merged = tuple(layout.index(axis) for axis in perm)
    writer.node("Transpose", layer.name, (source,), (output,), writer.params(layer.outputs[0]), perm=merged)
