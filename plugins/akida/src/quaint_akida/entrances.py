"""What is rewritten where the model begins, for both generations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint import graph
from quaint_akida.entrance import is_image, is_input
from quaint_akida.rewriting import each, retype

if TYPE_CHECKING:
    import onnx_ir as ir

    from quaint.config import Config
    from quaint.graph import GraphEditor


@each("Conv")
def rescale_at_entrance(editor: GraphEditor, config: Config, node: ir.Node) -> str | None:
    """A normalization of an image, 1x1 and depthwise in canonical form: a scale and an offset, which cost nothing.

    Not of other inputs: only an image's border can be what its offset makes of zero.
    """
    x, weight, bias = node.inputs[0], graph.constant(node.inputs[1]), graph.constant(graph.input_at(node, 2))
    if x is None or weight is None or bias is None or not is_input(x, config) or not (weight > 0).all():
        return None
    channels, plain = len(bias), [1] * (weight.ndim - 2)
    strides, pads = graph.attribute(node, "strides"), graph.attribute(node, "pads")
    if weight.shape != (channels, 1, *plain) or graph.attribute(node, "group") != channels:
        return None
    if any(pads) or any(step != 1 for step in strides) or not is_image(node.outputs[0], x, config):
        return None
    scale, offset = (array.reshape(-1, *plain).astype(np.float32) for array in (weight, bias))
    factor, name = editor.constant(scale, f"{node.name}.scale"), f"{node.name}_scale"
    scaled = editor.insert("Mul", [x, factor], {}, before=node, name=name, like=x, shape=graph.dims(x))
    retype(editor, node, "Add", scaled, {"offset": offset}, {})
    return "a scale and an offset of the input now, which say what its integers mean"
