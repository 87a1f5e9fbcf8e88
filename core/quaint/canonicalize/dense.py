"""Fully connected layers in one form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint.canonicalize.rule import each
from quaint.graph import GraphEditor, attribute, constant, dims, input_at, producer, rank, sole_consumer

if TYPE_CHECKING:
    import onnx_ir as ir

_CHANNELS_LAST = (0, 2, 3, 1)
_GEMM = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}


@each("MatMul")
def matmul_to_gemm(editor: GraphEditor, node: ir.Node) -> bool:
    """Turn MatMul of a 2-D tensor by a constant into Gemm with weights [outputs, inputs].

    Requires: ranks. Ensures: a MatMul by a 2-D constant has an operand of another rank.
    """
    weight = constant(node.inputs[1])
    if weight is None or weight.ndim != 2 or weight.dtype != np.float32 or rank(node.inputs[0]) != 2:
        return False
    zeros = editor.constant(np.zeros(weight.shape[1], np.float32), f"{node.name}.bias")
    new = editor.retype(node, "Gemm", [node.inputs[0], node.inputs[1], zeros], _GEMM)
    editor.set_constant(new, 1, weight.T)
    return True


@each("MatMul")
def matmul_to_conv(editor: GraphEditor, node: ir.Node) -> bool:
    """Turn MatMul of a channel-last map [N, H, W, C] by a constant into a pointwise Conv before the Transpose.

    Requires: the map is a Transpose that nothing else reads. Ensures: no such MatMul; the Conv has its name.
    """
    weight, before = constant(node.inputs[1]), producer(node.inputs[0], "Transpose")
    if weight is None or weight.ndim != 2 or weight.dtype != np.float32 or before is None:
        return False
    if attribute(before, "perm") != _CHANNELS_LAST or sole_consumer(before.outputs[0]) is not node:
        return False
    shape = dims(node.outputs[0])
    if shape is None:
        return False
    kernel = editor.constant(np.ascontiguousarray(weight.T[:, :, None, None]), f"{node.name}.weight")
    zeros = editor.constant(np.zeros(len(weight.T), np.float32), f"{node.name}.bias")
    attributes = {"kernel_shape": [1, 1], "strides": [1, 1], "dilations": [1, 1], "pads": [0] * 4, "group": 1}
    turned, name = [shape[axis] for axis in (0, 3, 1, 2)], f"{node.name}/channels_last"
    inputs = [before.inputs[0], kernel, zeros]
    product = editor.insert("Conv", inputs, attributes, before=node, name=name, like=node.outputs[0], shape=turned)
    conv = product.producer()
    assert conv is not None
    editor.swap_names(node, conv)
    editor.retype(node, "Transpose", [product], {"perm": list(_CHANNELS_LAST)})
    return True


@each("Gemm")
def unify_gemm(editor: GraphEditor, node: ir.Node) -> bool:
    """Write every Gemm with constant weights as alpha = beta = transB = 1, transA = 0, with a bias of one value an output.

    Requires: shapes. Ensures: that form; a C that is no such bias is added by an Add behind it, a transposed A is
    transposed by a Transpose in front of it. A Gemm of two tensors is left alone.
    """
    weight, source = constant(node.inputs[1]), node.inputs[0]
    if weight is None or weight.dtype != np.float32 or source is None or _is_unified(node):
        return False
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    rows = weight if attribute(node, "transB", 0) else weight.T
    bias, rest = _split_bias(node, len(rows))
    if rest is not None and beta != 1:
        return False
    if attribute(node, "transA", 0):
        shape, name = dims(source), f"{node.name}/transpose"
        turned = None if shape is None else shape[::-1]
        source = editor.insert(
            "Transpose", [source], {"perm": [1, 0]}, before=node, name=name, like=source, shape=turned
        )
    addend = None if rest is not None else input_at(node, 2)
    values = [source, node.inputs[1], addend or editor.constant(bias, f"{node.name}.bias")]
    gemm = editor.retype(node, "Gemm", values, _GEMM) if rest is None else _gemm_then_add(editor, node, values, rest)
    editor.set_constant(gemm, 1, (rows * np.float64(alpha)).astype(np.float32))
    editor.set_constant(gemm, 2, (bias * np.float64(beta)).astype(np.float32))
    return True


def _gemm_then_add(editor: GraphEditor, node: ir.Node, values: list[ir.Value | None], addend: ir.Value) -> ir.Node:
    """Split ``node`` into a Gemm, which keeps the name, and an Add."""
    product = editor.insert("Gemm", values, _GEMM, before=node, name=f"{node.name}/add", like=node.outputs[0])
    gemm = product.producer()
    assert gemm is not None
    editor.swap_names(node, gemm)
    editor.retype(node, "Add", [product, addend])
    return gemm


def _is_unified(node: ir.Node) -> bool:
    bias, outputs = constant(input_at(node, 2)), dims(node.inputs[1])
    attributes = all(attribute(node, name, default) == _GEMM[name] for name, default in _DEFAULTS.items())
    explicit = all(name in node.attributes for name in _GEMM)
    return attributes and explicit and bias is not None and outputs is not None and bias.shape == outputs[:1]


_DEFAULTS = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}


def _split_bias(node: ir.Node, outputs: int) -> tuple[np.ndarray, ir.Value | None]:
    """C as one value an output, or zeros and the value that must be added instead."""
    addend, zeros = input_at(node, 2), np.zeros(outputs, np.float32)
    if addend is None or attribute(node, "beta", 1.0) == 0:
        return zeros, None
    array = constant(addend)
    if array is not None and (array.size == 1 or (array.size == outputs and array.shape[-1] == outputs)):
        return np.broadcast_to(array.reshape(-1), (outputs,)), None
    return zeros, addend
