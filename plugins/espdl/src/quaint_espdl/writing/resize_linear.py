"""Linear interpolation as a node of the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint_espdl.writing.graph import channel_last

if TYPE_CHECKING:
    from quaint.integer import Layer
    from quaint_espdl.writing.graph import GraphWriter


def resize_linear(writer: GraphWriter, layer: Layer) -> None:
    """Interpolation; the file lists scales, or sizes where the runtime would not find these from the scales."""
    before, after = (writer.shape(name) for name in (layer.inputs[0], layer.outputs[0]))
    source = writer.take(layer.inputs[0], channel_last(len(before)))
    scales = np.asarray([1, 1, *layer.attributes["scales"]], np.float32)
    found = (np.asarray(before, np.float32) * scales).astype(np.int64)
    if found.tolist() == list(after):
        inputs = [source, "", writer.constant(f"{layer.name}.scales", scales)]
    else:
        inputs = [source, "", "", writer.constant(f"{layer.name}.sizes", np.asarray(after, np.int64))]
    output = writer.declare(layer.outputs[0], channel_last(len(before)))
    place = "align_corners" if layer.attributes["align_corners"] else "half_pixel"
    attributes = {"mode": "linear", "coordinate_transformation_mode": place}
    writer.node("Resize", layer.name, inputs, (output,), writer.params(layer.outputs[0]), **attributes)
