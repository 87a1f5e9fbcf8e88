"""Cross-layer equalization: the same function with weights whose channels have similar ranges.

Between two layers with only ReLU, pooling or movement within channels, channel i of the first may be divided by ``s_i`` if the
second multiplies its input i by it: ``relu(x / s) * s = relu(x)`` for ``s > 0``. The best scale makes both ranges equal,
``s_i = sqrt(r1_i / r2_i)``. Source: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019, section 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from quaint import graph
from quaint.quantizers.ranges import Ranges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.partition import Plan

    Floats = NDArray[np.float64]

#: What may stand between two layers: functions f with f(x * s) = f(x) * s for s > 0, channel by channel.
HOMOGENEOUS = frozenset({"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten"})
WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm"})
MAX_ROUNDS = 20
#: A round that changes no scale by more than this is the last.
CONVERGED = 0.01
#: Scales stay within this factor: beyond it a channel is dead rather than small.
LIMIT = 2.0**8


class Equalize(Ranges):
    """Equalizes weights, then chooses scales from the ranges."""

    def prepare(self, plan: Plan) -> None:
        """Scale the weights of every pair in turn until nothing changes."""
        nodes = [node for block in plan.blocks for node in block.nodes]
        pairs = [pair for node in nodes if (pair := _pair(node, set(nodes))) is not None]
        for _ in range(MAX_ROUNDS):
            if max((pair.equalize() for pair in pairs), default=0.0) < CONVERGED:
                return


@dataclass(frozen=True)
class _Pair:
    """Two layers with weights, where only the second reads the first."""

    first: ir.Node
    second: ir.Node

    def equalize(self) -> float:
        """Even out the ranges of both sides; returns the largest change on the logarithmic scale."""
        before, after = _weight(self.first), _weight(self.second)
        outgoing = (
            np.abs(np.moveaxis(before, _output_axis(self.first), 0)).reshape(_channels(self.first), -1).max(axis=1)
        )
        incoming = _by_input(self.second, after, len(outgoing)).max(axis=1)
        alive = (outgoing > 0) & (incoming > 0)
        scale = np.where(alive, np.sqrt(outgoing / np.where(alive, incoming, 1)), 1.0)
        scale = np.clip(scale, 1 / LIMIT, LIMIT)
        _replace(self.first, 1, before / _along(scale, before.ndim, _output_axis(self.first)))
        _replace(self.first, 2, _array(self.first, 2) / scale)
        axis = _input_axis(self.second)
        _replace(self.second, 1, after * _along(np.repeat(scale, after.shape[axis] // len(scale)), after.ndim, axis))
        return float(np.abs(np.log(scale)).max())


def _pair(first: ir.Node, inside: set[ir.Node]) -> _Pair | None:
    """The pair that starts with ``first``; None where anything but homogeneous functions stands between."""
    if (
        first.op_type not in WEIGHTED
        or not _private(first)
        or graph.attribute(first, "group", 1) not in {1, _channels(first)}
    ):
        return None
    node = first
    while True:
        out = node.outputs[0]
        users = [user for user, _ in out.uses()]
        if len(users) != 1 or out.is_graph_output() or users[0] not in inside:
            return None
        node = users[0]
        if node.op_type in WEIGHTED:
            plain = graph.attribute(node, "group", 1) == 1 or _depthwise(node)
            return _Pair(first, node) if plain and _private(node) else None
        if node.op_type not in HOMOGENEOUS:
            return None


def _private(node: ir.Node) -> bool:
    """Whether its weights are constants that no other node reads."""
    values = [value for value in node.inputs[1:3] if value is not None]
    return len(values) == 2 and all(graph.constant(v) is not None and len(v.uses()) == 1 for v in values)


def _depthwise(node: ir.Node) -> bool:
    weight = _weight(node)
    return weight.shape[:2] == (graph.attribute(node, "group", 1), 1)


def _output_axis(node: ir.Node) -> int:
    return 1 if node.op_type == "ConvTranspose" and graph.attribute(node, "group", 1) == 1 else 0


def _input_axis(node: ir.Node) -> int:
    """Axis of the weight that counts the channels which come in."""
    if node.op_type == "ConvTranspose" or (node.op_type == "Conv" and _depthwise(node) and _weight(node).shape[0] > 1):
        return 0
    return 1


def _channels(node: ir.Node) -> int:
    return int(_weight(node).shape[_output_axis(node)])


def _by_input(node: ir.Node, weight: Floats, channels: int) -> Floats:
    """Magnitudes with a row for each incoming channel (a flattened map has several columns for each)."""
    return np.abs(np.moveaxis(weight, _input_axis(node), 0)).reshape(channels, -1)


def _along(vector: Floats, rank: int, axis: int) -> Floats:
    shape = [1] * rank
    shape[axis] = -1
    return vector.reshape(shape)


def _array(node: ir.Node, index: int) -> Floats:
    array = graph.constant(node.inputs[index])
    assert array is not None
    return array.astype(np.float64)


def _weight(node: ir.Node) -> Floats:
    return _array(node, 1)


def _replace(node: ir.Node, index: int, array: Floats) -> None:
    """Give a constant input new values, in place."""
    value = node.inputs[index]
    assert value is not None
    value.const_value = ir.tensor(array.astype(np.float32), name=value.name)
