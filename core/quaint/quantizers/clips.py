"""Clips that cost nothing: the bound of a ReLU6 moved to where the integers end.

Where scales are powers of two, the 6 of a ReLU6 is step 96 of 127: steps are left unused, and a chip that saturates only at
127 needs a layer of its own to clip. But between layers with weights a common factor is free:
``clip(x, 0, b) = clip(f x, 0, f b) / f`` for ``f > 0``. The f that makes ``f b`` the highest integer times a power of two goes
into the weights before the clip and, inverted, into those after it. The function stays the same.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quaint import graph
from quaint.graph import GraphEditor
from quaint.numerics import ScaleKind
from quaint.quantizers.weights import WEIGHTED, array, private, replace

if TYPE_CHECKING:
    import onnx_ir as ir

    from quaint.partition import Plan
    from quaint.patterns import Block

#: Functions with f(s x) = s f(x) for one s > 0 for all of x.
HOMOGENEOUS = frozenset(
    {
        "Relu",
        "LeakyRelu",
        "PRelu",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "ReduceMean",
        "ReduceMax",
    }
    | {"Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "DepthToSpace", "SpaceToDepth"}
)


def fit_clips(plan: Plan) -> None:
    """Fit every clip from 0 between layers with weights to its integers; changes weights and bounds of ``plan.model``."""
    if plan.target.activation.scale is not ScaleKind.POWER_OF_TWO:
        return
    editor = GraphEditor(plan.model)
    inside = {node for block in plan.blocks for node in block.nodes}
    for block in plan.blocks:
        first, clip, factor = block.nodes[0], block.nodes[-1], _factor(plan, block)
        readers = _readers(clip.outputs[0], inside) if factor is not None else []
        if factor is None or not readers:
            continue
        editor.set_constant(clip, 2, (array(clip, 2) * factor).astype(np.float32))
        for index in (1, 2):
            replace(first, index, array(first, index) * factor)
        for reader in readers:
            replace(reader, 1, array(reader, 1) / factor)


def _factor(plan: Plan, block: Block) -> float | None:
    """What brings the bound of a clip from 0, after a layer with weights, to the nearest place where integers may end."""
    first, clip = block.nodes[0], block.nodes[-1]
    if first.op_type not in WEIGHTED or clip.op_type != "Clip" or len(block.nodes) != 2 or not private(first):
        return None
    low, high = (graph.scalar(value) for value in clip.inputs[1:])
    if low != 0 or high is None or not 0 < high < 2.0**60:
        return None
    top = plan.target.activation.dtype.high
    return top * 2.0 ** round(math.log2(high / top)) / high


def _readers(value: ir.Value, inside: set[ir.Node]) -> list[ir.Node]:
    """The layers with weights that read a value, directly or through homogeneous functions; none if others do too."""
    found: dict[ir.Node, None] = {}
    pending = [value]
    while pending:
        value = pending.pop()
        if value.is_graph_output():
            return []
        for node, index in value.uses():
            if node not in inside or index != 0:
                return []
            if node.op_type in HOMOGENEOUS:
                pending += node.outputs
            elif node.op_type in WEIGHTED and private(node):
                found[node] = None
            else:
                return []
    return list(found)
