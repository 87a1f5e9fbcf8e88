"""Is the first axis a batch of independent samples?"""

from __future__ import annotations

import onnx_ir as ir

from quaint.canonicalize.batch_rules import output_axes
from quaint.canonicalize.fold import fold_constants
from quaint.canonicalize.shapes import BATCH
from quaint.graph import GraphEditor, constant, dims, input_at

#: Key of ``model.metadata_props``: ``symbolic`` or ``fixed``.
BATCH_KEY = "quaint.batch"
_ZERO_STATES = {"GRU": (5,), "RNN": (5,), "LSTM": (5, 6)}


def drop_zero_states(editor: GraphEditor) -> bool:
    """Leave out initial states of recurrent layers that are constant zeros, which is their default.

    Ensures: no such state fixes the batch.
    """
    changed = False
    for node in editor.nodes(*_ZERO_STATES):
        for index in _ZERO_STATES[node.op_type]:
            state = constant(input_at(node, index))
            if state is not None and not state.any():
                node.replace_input_with(index, None)
                changed = True
    return changed


def resolve_batch(editor: GraphEditor) -> bool:
    """Make the batch symbolic where samples are independent, else fix it (at 1 if the source does not say).

    Requires: shapes as ``fold_constants`` leaves them. Ensures: ``metadata_props["quaint.batch"]``; where it is
    ``symbolic``, dimension 0 of every input and output is ``N`` and so is that axis of every value that depends on an
    input; where it is ``fixed``, no input has a symbolic dimension. A source that says ``fixed`` stays so.
    """
    metadata = editor.model.metadata_props
    axes = None if metadata.get(BATCH_KEY) == "fixed" else batch_axes(editor.graph)
    metadata[BATCH_KEY] = "fixed" if axes is None else "symbolic"
    if axes is not None:
        for value, axis in axes.items():
            _set_dim(value, axis, BATCH)
        return True
    changed = False
    for value in editor.graph.inputs:
        if BATCH in (dims(value) or ()):
            _set_dim(value, 0, 1)
            changed = True
    return changed and fold_constants(editor)


def batch_axes(graph: ir.Graph) -> dict[ir.Value, int] | None:
    """The batch axis of every value that depends on an input, or None if some samples may meet.

    Each operator must treat the batch axis as a mere repetition (``batch_rules``). Reshapes of a static batch count as
    keeping it where they keep its place, which is exact for the batch that the source has and per sample for any other.
    """
    sizes = {shape[0] if shape else None for shape in (dims(value) for value in graph.inputs) if shape is not None}
    if len(sizes) != 1 or None in sizes or not graph.inputs:
        return None
    size = sizes.pop()
    axes: dict[ir.Value, int] = dict.fromkeys(graph.inputs, 0)
    for node in graph:
        given = [axes.get(value) if value is not None else None for value in node.inputs]
        if all(axis is None for axis in given) and not _reads_batch_inside(node, axes):
            continue
        found = output_axes(node, given, size)
        if found is None:
            return None
        for value, axis in zip(node.outputs, found, strict=True):
            shape = dims(value)
            if shape is None or shape[axis] != size or None in shape or 0 in shape:
                return None
            axes[value] = axis
    return axes if all(axes.get(value) == 0 for value in graph.outputs) else None


def _reads_batch_inside(node: ir.Node, axes: dict[ir.Value, int]) -> bool:
    """Whether a subgraph of ``node`` reads a value with a batch."""
    graphs = [
        attr.as_graph()
        for attr in node.attributes.values()
        if attr.type == ir.AttributeType.GRAPH and not attr.is_ref()
    ]
    return any(value in axes for graph in graphs for inner in graph.all_nodes() for value in inner.inputs if value)


def _set_dim(value: ir.Value, axis: int, dim: int | str) -> None:
    shape = list(dims(value) or ())
    shape[axis] = dim
    value.shape = ir.Shape(shape)
