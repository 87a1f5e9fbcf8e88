"""Layer normalization by its name where exporters wrote it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint.canonicalize.rule import each
from quaint.graph import GraphEditor, attribute, constant, dims, input_at, is_op, producer, rank, scalar, sole_consumer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir


@each("Div", "Mul")
def name_layer_norm(editor: GraphEditor, node: ir.Node) -> bool:
    """Recognize ``(x - mean) / sqrt(mean((x - mean) ** 2) + epsilon)`` over the last axes.

    Requires: constant axes and ``keepdims`` of reductions. Ensures: ``LayerNormalization`` with a scale of ones.
    """
    centred, root = node.inputs
    if node.op_type == "Mul" and root is not None and centred is not None:
        inverse = producer(root, "Reciprocal") or producer(centred, "Reciprocal")
        if inverse is None:
            return False
        centred, root = (centred if inverse.outputs[0] is root else root), inverse.inputs[0]
    found = _variance(root)
    if centred is None or found is None:
        return False
    variance, epsilon = found
    x, axes = _deviation(centred)
    length = rank(x)
    if x is None or length is None or axes != list(range(axes[0], length)) or _squared(variance, axes) != (x, axes):
        return False
    shape = [size for size in (dims(x) or ())[axes[0] :] if isinstance(size, int)]
    if len(shape) != len(axes):
        return False
    ones = editor.constant(np.ones(shape, np.float32), f"{node.name}.scale")
    editor.retype(node, "LayerNormalization", [x, ones], {"axis": axes[0], "epsilon": epsilon})
    return True


def _variance(root: ir.Value | None) -> tuple[ir.Value | None, float] | None:
    """What is under the root but for a constant, and the constant."""
    node = producer(root, "Sqrt")
    total = None if node is None else producer(node.inputs[0], "Add")
    epsilon = None if total is None else scalar(total.inputs[1])
    return None if total is None or epsilon is None else (total.inputs[0], epsilon)


def _mean(value: ir.Value | None) -> tuple[ir.Value | None, list[int]]:
    """What a mean that keeps its axes is of, and the axes; nothing and none if it is no such mean."""
    node = producer(value, "ReduceMean")
    axes = None if node is None else constant(input_at(node, 1))
    if node is None or axes is None or not axes.size or not attribute(node, "keepdims", 1):
        return None, []
    return node.inputs[0], axes.tolist()


def _deviation(value: ir.Value | None) -> tuple[ir.Value | None, list[int]]:
    """``x`` and the axes of ``x - mean(x)``; nothing and none for anything else."""
    node = producer(value, "Sub")
    if node is None:
        return None, []
    x, axes = _mean(node.inputs[1])
    return (x, axes) if axes and x is node.inputs[0] else (None, [])


def _squared(variance: ir.Value | None, axes: Sequence[int]) -> tuple[ir.Value | None, list[int]]:
    """``x`` and the axes of ``mean((x - mean(x)) ** 2)``."""
    inner, over = _mean(variance)
    node = producer(inner, "Pow", "Mul")
    if node is None or over != axes:
        return None, []
    square = node.inputs[0] is node.inputs[1] if node.op_type == "Mul" else scalar(node.inputs[1]) == 2
    return _deviation(node.inputs[0]) if square else (None, [])


@each("Mul", "Add")
def fold_into_layer_norm(editor: GraphEditor, node: ir.Node) -> bool:
    """Make a constant factor and then a constant term of a layer normalization its scale and bias.

    Requires: constants second. Ensures: no Mul after a scale of ones without a bias, no Add after one without a bias.
    """
    norm = producer(node.inputs[0], "LayerNormalization")
    values = constant(node.inputs[1])
    if norm is None or values is None or sole_consumer(norm.outputs[0]) is not node or len(norm.outputs) > 1:
        return False
    scale = constant(norm.inputs[1])
    if scale is None or scale.dtype != values.dtype or input_at(norm, 2) is not None:
        return False
    if values.size not in {1, scale.size}:
        return False
    if values.size > 1 and values.shape[-scale.ndim :] != scale.shape:
        return False
    inputs = [norm.inputs[0], norm.inputs[1]]
    laid = np.broadcast_to(values.reshape(scale.shape if values.size > 1 else ()), scale.shape)
    if is_op(node, "Add"):
        inputs.append(editor.constant(np.ascontiguousarray(laid), f"{node.name}.bias"))
    elif (scale == 1).all():
        inputs[1] = editor.constant(np.ascontiguousarray(laid), f"{node.name}.scale")
    else:
        return False
    kept = {"axis": attribute(norm, "axis", -1), "epsilon": attribute(norm, "epsilon", 1e-5)}
    editor.swap_names(norm, node)
    editor.retype(node, "LayerNormalization", inputs, kept)
    return True
