"""Remove operators that do nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint.canonicalize.rule import each
from quaint.graph import GraphEditor, attribute, constant, dims, input_at, is_op

if TYPE_CHECKING:
    import onnx_ir as ir


@each()
def remove_noops(editor: GraphEditor, node: ir.Node) -> bool:
    """Remove every operator that returns its first input.

    Requires: shapes. Ensures: no Identity or Dropout (but an Identity between a graph input, constant or output and a
    graph output); no Cast, Pad, Reshape, Transpose, Slice, Expand, Tile, Concat, pooling or arithmetic that changes
    nothing.
    """
    return _is_noop(node) and _is_alone(node) and node.inputs[0] is not None and editor.bypass(node, node.inputs[0])


def _is_alone(node: ir.Node) -> bool:
    """Whether only the first output of ``node`` is in use."""
    return not any(value.uses() or value.is_graph_output() for value in node.outputs[1:])


def _is_noop(node: ir.Node) -> bool:
    source, result = dims(node.inputs[0]) if node.inputs else None, dims(node.outputs[0])
    unchanged = source is not None and None not in source and source == result
    if is_op(node, "Identity"):
        return True
    if is_op(node, "Dropout"):
        return not _training(node)
    if is_op(node, "Concat", "Sum", "Max", "Min", "Mean"):
        return len(node.inputs) == 1
    if is_op(node, "Cast"):
        source_value = node.inputs[0]
        return (
            source_value is not None and source_value.dtype is not None and source_value.dtype == attribute(node, "to")
        )
    if is_op(node, "Pad"):
        pads = constant(input_at(node, 1))
        return unchanged and pads is not None and not pads.any()
    if is_op(node, "Slice"):
        return unchanged and _forward(node)
    if is_op(node, "Transpose"):
        length = len(source or ())
        return unchanged and attribute(node, "perm", tuple(reversed(range(length)))) == tuple(range(length))
    if is_op(node, "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Tile"):
        return unchanged
    if is_op(node, "Add", "Sub", "Mul", "Div"):
        return unchanged and _is_neutral(node)
    if is_op(node, "GlobalAveragePool", "GlobalMaxPool"):
        return unchanged and source is not None and all(dim == 1 for dim in source[2:])
    if is_op(node, "AveragePool", "MaxPool"):
        return unchanged and all(
            extent == 1 for extent in (*attribute(node, "kernel_shape"), *attribute(node, "strides", ()))
        )
    return False


def _training(node: ir.Node) -> bool:
    mode = constant(input_at(node, 2))
    return input_at(node, 2) is not None and (mode is None or bool(mode.any()))


def _forward(node: ir.Node) -> bool:
    """Whether a Slice takes every element in order."""
    steps = constant(input_at(node, 4))
    return input_at(node, 4) is None or (steps is not None and bool((steps == 1).all()))


def _is_neutral(node: ir.Node) -> bool:
    """Whether a constant second operand adds 0 or multiplies by 1."""
    operand = constant(node.inputs[1])
    neutral = 0 if is_op(node, "Add", "Sub") else 1
    return operand is not None and operand.dtype == np.float32 and bool((operand == neutral).all())
