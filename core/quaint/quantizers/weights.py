"""Weights of float nodes: their channels, and new values for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from quaint import graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: Operators with weights as input 1 and a bias as input 2.
WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm"})


def private(node: ir.Node) -> bool:
    """Whether its weights and bias are constants that no other node reads."""
    values = [value for value in node.inputs[1:3] if value is not None]
    return len(values) == 2 and all(graph.constant(v) is not None and len(v.uses()) == 1 for v in values)


def depthwise(node: ir.Node) -> bool:
    """Whether it has one filter for each channel."""
    return array(node, 1).shape[:2] == (graph.attribute(node, "group", 1), 1)


def output_axis(node: ir.Node) -> int:
    """Axis of the weight that counts the channels which go out."""
    return 1 if node.op_type == "ConvTranspose" and graph.attribute(node, "group", 1) == 1 else 0


def input_axis(node: ir.Node) -> int:
    """Axis of the weight that counts the channels which come in."""
    if node.op_type == "ConvTranspose" or (node.op_type == "Conv" and depthwise(node) and len(array(node, 1)) > 1):
        return 0
    return 1


def channels(node: ir.Node) -> int:
    """How many channels go out."""
    return int(array(node, 1).shape[output_axis(node)])


def by_output(node: ir.Node) -> Floats:
    """Magnitudes of the weights with a row for each outgoing channel."""
    return np.abs(np.moveaxis(array(node, 1), output_axis(node), 0)).reshape(channels(node), -1)


def by_input(node: ir.Node, rows: int) -> Floats:
    """Magnitudes of the weights with a row for each incoming channel (a flattened map has several columns for each)."""
    return np.abs(np.moveaxis(array(node, 1), input_axis(node), 0)).reshape(rows, -1)


def along(vector: Floats, rank: int, axis: int) -> Floats:
    """``vector`` shaped to broadcast along an axis of a tensor of ``rank`` axes."""
    shape = [1] * rank
    shape[axis] = -1
    return vector.reshape(shape)


def array(node: ir.Node, index: int) -> Floats:
    """The constant that is input ``index``, as float64.

    Raises:
        ValueError: if it is not a constant.
    """
    found = graph.constant(node.inputs[index])
    if found is None:
        raise ValueError(f"input {index} of {node.name} is not a constant")
    return found.astype(np.float64)


def replace(node: ir.Node, index: int, values: Floats) -> None:
    """Give a constant input new values, in place."""
    value = node.inputs[index]
    if value is not None:
        value.const_value = ir.tensor(values.astype(np.float32), name=value.name)
