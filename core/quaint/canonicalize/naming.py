"""Last: names, and proof that nothing is missing."""

from __future__ import annotations

import onnx_ir as ir

from quaint.canonicalize.shapes import infer_shapes
from quaint.graph import GraphEditor, dims


def name_everything(editor: GraphEditor) -> bool:
    """Give every node and value a unique name, keeping the source's wherever it is not taken yet.

    Requires: sorted nodes. Ensures: names are unique and not empty; those of graph inputs and outputs are untouched. A
    node without a name gets that of its first output.
    """
    edge = {value.name for value in (*editor.graph.inputs, *editor.graph.outputs)}
    taken, changed = set(edge) | set(editor.graph.initializers), False
    nodes: set[str] = set()
    for node in editor.graph:
        for i, value in enumerate(node.outputs):
            if not value.is_graph_output() and (not value.name or value.name in taken):
                value.name = _free(value.name or f"{node.name or node.op_type}/{i}", taken)
                changed = True
            taken.add(value.name or "")
        if not node.name or node.name in nodes:
            node.name = _free(node.name or node.outputs[0].name or node.op_type, nodes)
            changed = True
        nodes.add(node.name)
    return changed


def _free(base: str, taken: set[str] | set[str | None]) -> str:
    name, number = base, 0
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    return name


def complete_shapes(editor: GraphEditor) -> bool:
    """Infer shapes once more where a pass left one open.

    Ensures: type and shape of every value, as far as onnx can tell.
    """
    values = [value for node in editor.graph for value in node.outputs]
    if any(value.dtype is None or dims(value) is None for value in values):
        known = {value: value.shape for value in values if value.shape is not None}
        infer_shapes(editor)
        for value, shape in known.items():
            value.shape = shape
    for value in editor.graph.initializers.values():
        if value.const_value is not None:
            value.shape, value.type = ir.Shape(value.const_value.shape.numpy()), ir.TensorType(value.const_value.dtype)
    return False
