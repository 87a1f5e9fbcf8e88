"""Where the graph divides behind Akida 2's input layer, which hands its output to one layer of a convolution processor alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint_akida.entrance import takes_image
from quaint_akida.lut2 import GATES, TABLES
from quaint_akida.rewriting import each, identity, map_size, put_behind, window

if TYPE_CHECKING:
    import onnx_ir as ir

    from quaint.config import Config
    from quaint.graph import GraphEditor

#: What becomes part of the input layer.
FOLLOWERS = frozenset({"Relu", "Clip", "MaxPool", "PRelu", *TABLES})
JOINS = frozenset({"Add", "Concat"})


@each("Conv")
def identity_behind_entrance(editor: GraphEditor, config: Config, node: ir.Node) -> str | None:
    """An input layer that several layers read, or an Add or a Concat: a 1x1 identity convolution behind it."""
    if node.inputs[0] is None or not takes_image(node.inputs[0], config):
        return None
    last, readers = _end(node.outputs[0])
    size = map_size(last)
    divides = len(readers) > 1 or any(reader.op_type in JOINS for reader in readers)
    if size is None or not divides:
        return None
    put_behind(
        editor, last, "Conv", identity(size[0]), window(1, 1, [0] * 4) | {"group": 1}, name=f"{node.name}_identity"
    )
    return "the input layer feeds one convolution; a 1x1 identity follows now"


def _end(value: ir.Value) -> tuple[ir.Value, list[ir.Node]]:
    """What leaves the input layer that ``value`` is the convolution of, and who reads it."""
    readers = [user for user, _ in value.uses()]
    if len(readers) == 1 and readers[0].op_type in FOLLOWERS:
        return _end(readers[0].outputs[0])
    gate = next((reader for reader in readers if reader.op_type in GATES), None)
    if gate is not None and len(readers) == 2:
        (product,) = (reader for reader in readers if reader is not gate)
        if product.op_type == "Mul" and gate.outputs[0] in product.inputs:  # a SiLU or a HardSwish
            return _end(product.outputs[0])
    return value, readers
