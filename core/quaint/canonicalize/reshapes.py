"""Everything that only gives a tensor another shape, in two forms: Flatten and Reshape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint.canonicalize.rule import each
from quaint.canonicalize.shapes import BATCH
from quaint.graph import Dim, GraphEditor, attribute, constant, dims, producer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

_RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")


def reshape_target(before: Sequence[Dim], after: Sequence[Dim]) -> list[int] | None:
    """The constant shape that a Reshape between two shapes gets, or None if none says it.

    The first entry is 0 if the first dimension stays; a batch elsewhere is 0 if it keeps its place, else -1.
    """
    if None in after or None in before or 0 in after or list(after).count(BATCH) > 1:
        return None
    target = []
    for place, dim in enumerate(after):
        kept = place < len(before) and before[place] == dim
        if isinstance(dim, int):
            target.append(0 if kept and place == 0 else dim)
        else:
            target.append(0 if kept else -1)
    return target


def is_flatten(before: Sequence[Dim], after: Sequence[Dim]) -> bool:
    """Whether a reshape takes [N, ...] to [N, K]."""
    return len(before) > 2 and len(after) == 2 and before[0] == after[0] and 0 not in before


@each(*_RESHAPES)
def unify_reshapes(editor: GraphEditor, node: ir.Node) -> bool:
    """Write Reshape, Flatten, Squeeze and Unsqueeze as Flatten or Reshape.

    Requires: shapes. Ensures: what takes [N, ...] to [N, K] is Flatten(axis=1), everything else a Reshape by a constant
    (``reshape_target``), except where dimensions are unknown or zero.
    """
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    if before is None or after is None:
        return False
    target = reshape_target(before, after)
    if target is None:
        return False
    if is_flatten(before, after):
        if node.op_type == "Flatten" and attribute(node, "axis", None) == 1:
            return False
        editor.retype(node, "Flatten", [node.inputs[0]], {"axis": 1})
        return True
    if node.op_type == "Reshape" and not attribute(node, "allowzero", 0):
        given = constant(node.inputs[1])
        if given is not None and given.tolist() == target:
            return False
    shape = editor.constant(np.array(target, np.int64), f"{node.name}.shape")
    editor.retype(node, "Reshape", [node.inputs[0], shape])
    return True


@each(*_RESHAPES)
def merge_reshapes(editor: GraphEditor, node: ir.Node) -> bool:
    """Let a reshape of a reshape read what the first one reads.

    Requires: shapes. Ensures: no reshape reads a reshape, unless no constant shape says both.
    """
    inner = producer(node.inputs[0], *_RESHAPES)
    source = None if inner is None else inner.inputs[0]
    before, after = dims(source), dims(node.outputs[0])
    if inner is None or before is None or after is None:
        return False
    target = reshape_target(before, after)
    if target is None:
        return False
    shape = editor.constant(np.array(target, np.int64), f"{node.name}.shape")
    editor.retype(node, "Reshape", [source, shape])
    editor.erase(inner)
    return True


@each("Expand")
def unify_expand(editor: GraphEditor, node: ir.Node) -> bool:
    """Write Expand with 1 for every axis that it leaves as it is.

    Requires: shapes. Ensures: a constant target that does not name the batch.
    """
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    if before is None or after is None:
        return False
    padded = (1,) * (len(after) - len(before)) + before
    target = [1 if a == b else b for a, b in zip(padded, after, strict=True)]
    numbers = [dim for dim in target if isinstance(dim, int)]
    given = constant(node.inputs[1])
    if len(numbers) != len(target) or (given is not None and given.tolist() == numbers):
        return False
    node.replace_input_with(1, editor.constant(np.array(numbers, np.int64), f"{node.name}.shape"))
    return True


def moves_only_ones(shape: Sequence[Dim], perm: Sequence[int]) -> bool:
    """Whether transposing ``shape`` keeps the order of all axes longer than 1, so that it equals a Reshape."""
    long = [axis for axis in perm if shape[axis] != 1]
    return long == sorted(long)


@each("Transpose")
def transpose_to_reshape(editor: GraphEditor, node: ir.Node) -> bool:
    """Write a Transpose that only moves axes of extent 1 as a Reshape.

    Requires: shapes. Ensures: every Transpose moves data.
    """
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    if before is None or after is None or None in before:
        return False
    perm = attribute(node, "perm", tuple(reversed(range(len(before)))))
    target = reshape_target(before, after)
    if target is None or not moves_only_ones(before, perm):
        return False
    editor.retype(node, "Reshape", [node.inputs[0], editor.constant(np.array(target, np.int64), f"{node.name}.shape")])
    return True


@each("Split")
def unify_split(editor: GraphEditor, node: ir.Node) -> bool:
    """Write Split as a Slice for each part that somebody reads.

    Requires: shapes, ``axis`` written out. Ensures: no Split of known sizes.
    """
    axis = attribute(node, "axis")
    ends = [0]
    for shape in map(dims, node.outputs):
        size = None if shape is None or axis is None else shape[axis]
        if not isinstance(size, int):
            return False
        ends.append(ends[-1] + size)
    first: ir.Node | None = None
    for output, start, end in zip(node.outputs, ends, ends[1:], strict=False):
        if not output.uses() and not output.is_graph_output():
            continue
        bounds = [
            editor.constant(np.array([number], np.int64), f"{node.name}.{role}")
            for role, number in (("starts", start), ("ends", end), ("axes", axis))
        ]
        part = editor.insert("Slice", [node.inputs[0], *bounds], before=node, name=node.name, like=output)
        first = first or part.producer()
        editor.replace(output, part)
    if first is not None:
        editor.swap_names(first, node)
    editor.erase(node)
    return True
