"""Pixels from channels and back as nodes of the runtime.

Its SpaceToDepth has the channels outside the pixels of a block (ONNX: inside). Its DepthToSpace in mode DCR finds the channel
by the rest of a division by the block's width: right only if there are as many channels (ESP-DL 3.3.9, its C code). What
is in another order goes through a ``Gather`` of channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint_espdl.writing.graph import channel_last
from quaint_espdl.writing.selection import gather

if TYPE_CHECKING:
    from quaint.integer import Layer
    from quaint_espdl.writing.graph import GraphWriter

LAST = channel_last(4)
#: Order of axes of a layer -> the operator, and whether the channels are inside.
FORMS = {
    (0, 3, 4, 1, 5, 2): ("DepthToSpace", True),
    (0, 1, 4, 2, 5, 3): ("DepthToSpace", False),
    (0, 3, 5, 1, 2, 4): ("SpaceToDepth", True),
    (0, 1, 3, 5, 2, 4): ("SpaceToDepth", False),
}


def rearrange(writer: GraphWriter, layer: Layer) -> None:
    """DepthToSpace or SpaceToDepth, the channels reordered before the one or after the other."""
    operator, inside = FORMS[tuple(layer.attributes["perm"])]
    (tensor,), (made,) = layer.inputs, layer.outputs
    shape, result = writer.shape(tensor), writer.shape(made)
    source, params = writer.take(tensor, LAST), writer.params(made)
    if operator == "DepthToSpace":
        block, channels = result[2] // shape[2], result[1]
        mode = "DCR" if inside and channels == block else "CRD"
        if inside and mode == "CRD" and channels > 1:
            ordered = writer.scratch(f"{made}_ordered", [shape[axis] for axis in LAST], tensor)
            places = np.arange(shape[1]).reshape(block**2, channels)
            gather(writer, layer, source, ordered, 3, places.T.reshape(-1).tolist())
            source = ordered
        output = writer.declare(made, LAST)
        writer.node(operator, layer.name, (source,), (output,), params, blocksize=block, mode=mode)
        return
    block, channels = shape[2] // result[2], shape[1]
    wish: dict[str, Any] = {"blocksize": block}
    if not inside or channels == 1:
        writer.node(operator, layer.name, (source,), (writer.declare(made, LAST),), params, **wish)
        return
    ordered = writer.scratch(f"{made}_ordered", [result[axis] for axis in LAST], tensor)
    writer.node(operator, layer.name, (source,), (ordered,), params, **wish)
    places = np.arange(result[1]).reshape(channels, block**2)
    gather(writer, layer, ordered, writer.declare(made, LAST), 3, places.T.reshape(-1).tolist())
