"""Batch normalization and per-channel arithmetic, folded into the layers beside them.

A step multiplies every channel by a number and adds another. A whole chain of steps is composed in float64 and rounded
once, so that folding costs half a unit in the last place of each weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint.canonicalize.rule import each
from quaint.graph import GraphEditor, attribute, constant, dims, input_at, is_op, other_input, rank, sole_consumer

if TYPE_CHECKING:
    import onnx_ir as ir

#: Scale and shift of every channel, float64 [channels].
Affine = tuple[np.ndarray, np.ndarray]


@each("Conv", "ConvTranspose", "Gemm")
def fold_affine(editor: GraphEditor, node: ir.Node) -> bool:
    """Fold BatchNormalization, Mul, Add, Sub, Div and Neg behind a layer into its weights and bias.

    Requires: constant weights and bias; Gemm unified; each step alone reads the one before it and has constants of one
    value per channel or in all. Ensures: no such step. The layer keeps its name and takes over the name of the result.
    """
    weight, bias = constant(node.inputs[1]), constant(input_at(node, 2))
    if weight is None or bias is None or weight.dtype != np.float32:
        return False
    result = node.outputs[0]
    scale, shift = np.ones(bias.shape), np.zeros(bias.shape)
    while (step := _step(sole_consumer(result), result, len(bias))) is not None:
        consumer = sole_consumer(result)
        assert consumer is not None
        folded = scale * step[0], shift * step[0] + step[1]
        if not _fits(*folded):
            break
        (scale, shift), result = folded, consumer.outputs[0]
    last = result.producer()
    if last is None or last is node:
        return False
    group = attribute(node, "group", 1) if is_op(node, "ConvTranspose") else None
    new_weight = weight * _by_output(scale, weight.shape, group)
    new_bias = bias * scale + shift
    if not _fits(new_weight, new_bias):
        return False
    editor.set_constant(node, 1, new_weight.astype(np.float32))
    editor.set_constant(node, 2, new_bias.astype(np.float32))
    editor.replace(result, node.outputs[0])
    editor.erase(last)
    return True


def _fits(*arrays: np.ndarray) -> bool:
    """Whether float32 can hold all values."""
    return all(bool((np.abs(array) <= np.finfo(np.float32).max).all()) for array in arrays)


def _by_output(scale: np.ndarray, shape: tuple[int, ...], transposed_groups: int | None) -> np.ndarray:
    """``scale`` of the output channels in the shape of the weights: [out, in, ...], or [in, out / group, ...]."""
    spatial = (1,) * (len(shape) - 2)
    if transposed_groups is None:
        return scale.reshape(-1, 1, *spatial)
    per_group = np.repeat(scale.reshape(transposed_groups, -1), shape[0] // transposed_groups, axis=0)
    return per_group.reshape(shape[0], shape[1], *spatial)


def _step(node: ir.Node | None, value: ir.Value, channels: int) -> Affine | None:
    """What ``node`` does to the channels of ``value``, or None if it is no step."""
    if node is None or not is_op(node, "BatchNormalization", "Mul", "Add", "Sub", "Div", "Neg"):
        return None
    one, zero = np.ones(channels), np.zeros(channels)
    if is_op(node, "Neg"):
        return -one, zero
    if is_op(node, "BatchNormalization"):
        return normalization(node) if node.inputs[0] is value else None
    operand = per_channel(other_input(node, value), channels, rank(value))
    if operand is None:
        return None
    first = node.inputs[0] is value
    if is_op(node, "Div"):
        return (1 / operand, zero) if first and operand.all() else None
    if is_op(node, "Mul"):
        return operand, zero
    if is_op(node, "Sub"):
        return (one, -operand) if first else (-one, operand)
    return one, operand


def per_channel(value: ir.Value | None, channels: int, length: int | None) -> np.ndarray | None:
    """A float constant as float64 [channels], if it is the same all over each channel (axis 1 of ``length`` axes)."""
    array = constant(value)
    if array is None or array.dtype != np.float32 or length is None or array.ndim > length or length < 2:
        return None
    shape = (1,) * (length - array.ndim) + array.shape
    if any(extent != 1 for axis, extent in enumerate(shape) if axis != 1) or shape[1] not in (1, channels):
        return None
    return np.broadcast_to(array.reshape(-1).astype(np.float64), (channels,))


def normalization(node: ir.Node) -> Affine | None:
    """Scale and shift of a BatchNormalization in inference with constant parameters, or None."""
    arrays = [constant(value) for value in node.inputs[1:]]
    parameters = [array.astype(np.float64) for array in arrays if array is not None]
    one_shape = len({array.shape for array in parameters}) == 1
    if len(parameters) != 4 or not one_shape or len(node.outputs) > 1 or attribute(node, "training_mode", 0):
        return None
    gamma, beta, mean, variance = parameters
    deviation = variance + float(np.float32(attribute(node, "epsilon", 1e-5)))
    if gamma.ndim != 1 or not gamma.size or not (deviation > 0).all():
        return None
    scale = gamma / np.sqrt(deviation)
    return scale, beta - mean * scale


@each("BatchNormalization")
def replace_normalization(editor: GraphEditor, node: ir.Node) -> bool:
    """Fold a BatchNormalization that no layer feeds into the next layer, or make it a layer of its own.

    Requires: ``fold_affine``. Ensures: it is folded into the Conv without padding (or Gemm) that alone reads it, else
    it is a depthwise Conv of 1 x 1 (3-D and 4-D tensors) or a Mul and an Add (2-D). Other forms are left alone.
    """
    affine, length = normalization(node), rank(node.inputs[0])
    if affine is None or length not in (2, 3, 4) or not _fits(*affine):
        return False
    return _fold_forward(editor, node, affine) or _as_layer(editor, node, affine, length)


def _fold_forward(editor: GraphEditor, node: ir.Node, affine: Affine) -> bool:
    """Fold into the next layer: its weights see scaled channels, its bias takes in what the shifts add up to."""
    layer = sole_consumer(node.outputs[0])
    if layer is None or not is_op(layer, "Conv", "Gemm") or layer.inputs[0] is not node.outputs[0]:
        return False
    weight, bias = constant(layer.inputs[1]), constant(input_at(layer, 2))
    padded = any(attribute(layer, "pads", ())) or attribute(layer, "auto_pad", "NOTSET") not in ("NOTSET", "VALID")
    plain = is_op(layer, "Conv") or (attribute(layer, "transB", 0) and not attribute(layer, "transA", 0))
    if weight is None or bias is None or not plain or (padded and affine[1].any()):
        return False
    group = attribute(layer, "group", 1)
    per_output = [np.repeat(part.reshape(group, -1), len(weight) // group, axis=0) for part in affine]
    scales, shifts = (part.reshape(*weight.shape[:2], *(1,) * (weight.ndim - 2)) for part in per_output)
    new_weight = weight * scales
    new_bias = bias + (weight * shifts).sum(axis=tuple(range(1, weight.ndim)))
    if not _fits(new_weight, new_bias) or node.inputs[0] is None:
        return False
    editor.set_constant(layer, 1, new_weight.astype(np.float32))
    editor.set_constant(layer, 2, new_bias.astype(np.float32))
    return editor.bypass(node, node.inputs[0])


def _as_layer(editor: GraphEditor, node: ir.Node, affine: Affine, length: int) -> bool:
    """Write the normalization as a depthwise Conv, or as Mul and Add."""
    source, shape = node.inputs[0], dims(node.inputs[0])
    scale, shift = (part.astype(np.float32) for part in affine)
    if source is None or shape is None:
        return False
    if length > 2:
        ones = [1] * (length - 2)
        weight = editor.constant(scale.reshape(-1, 1, *ones), f"{node.name}.weight")
        attributes = {
            "group": len(scale),
            "kernel_shape": ones,
            "strides": ones,
            "dilations": ones,
            "pads": [0, 0] * len(ones),
        }
        editor.retype(node, "Conv", [source, weight, editor.constant(shift, f"{node.name}.bias")], attributes)
        return True
    name = f"{node.name}/scale"
    weight = editor.constant(scale, f"{node.name}.weight")
    scaled = editor.insert("Mul", [source, weight], before=node, name=name, like=source)
    editor.retype(node, "Add", [scaled, editor.constant(shift, f"{node.name}.bias")])
    return True
