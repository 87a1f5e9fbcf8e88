"""Operators that move numbers as nodes of the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint_espdl.writing.graph import channel_last, original
from quaint_espdl.writing.layouts import together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.integer import Layer
    from quaint_espdl.writing.graph import GraphWriter, Layout


def concat(writer: GraphWriter, layer: Layer) -> None:
    """Tensors joined along the axis as the layout has it."""
    sources, output, layout = together(writer, layer)
    axis = layout.index(layer.attributes["axis"])
    writer.node("Concat", layer.name, sources, (output,), writer.params(layer.outputs[0]), axis=axis)


def reshape(writer: GraphWriter, layer: Layer) -> None:
    """Reshape and Flatten; no Transpose before it where the original order is there anyway.

    A map that only loses or gains axes of one entry stays channel last.
    """
    (tensor,), (made,) = layer.inputs, layer.outputs
    shape, layout = writer.shape(made), writer.layout(tensor)
    last = channel_last(len(shape))
    if len(shape) > 2 and _long_axes(writer.shape(tensor), layout) == _long_axes(shape, last):
        source = writer.take(tensor, layout)
    else:
        source, last = writer.in_order(tensor), original(len(shape))
    output = writer.declare(made, last)
    wanted = writer.constant(f"{layer.name}.shape", np.asarray([shape[axis] for axis in last], np.int64))
    writer.node("Reshape", layer.name, (source, wanted), (output,), writer.params(made), allowzero=0)


def _long_axes(shape: Sequence[int], layout: Layout) -> list[tuple[int, int]]:
    """The axes of more than one entry in the order of a layout: which one it is among them, and its size."""
    long = [axis for axis, size in enumerate(shape) if size != 1]
    return [(long.index(axis), shape[axis]) for axis in layout if axis in long]


def transpose(writer: GraphWriter, layer: Layer) -> None:
    """The model's own Transpose, one with what its input's layout needs."""
    layout, perm = writer.layout(layer.inputs[0]), layer.attributes["perm"]
    source = writer.take(layer.inputs[0], layout)
    output = writer.declare(layer.outputs[0], original(len(perm)))
    merged = tuple(layout.index(axis) for axis in perm)
    writer.node("Transpose", layer.name, (source,), (output,), writer.params(layer.outputs[0]), perm=merged)
