"""Slices as early as they may stand: in front of what only rearranges, so that nobody rearranges what nobody reads.

Queries, keys and values of attention are made by one layer, reshaped and transposed together on five axes, and then taken
apart; taken apart first, four axes do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from quaint.canonicalize.rule import each
from quaint.graph import Dim, GraphEditor, attribute, constant, dims, input_at, producer, sole_consumer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir


@each("Gather")
def gather_to_slice(editor: GraphEditor, node: ir.Node) -> bool:
    """Take one entry by a Slice, which ``hoist_slices`` can move, and drop the axis by a Reshape.

    Requires: shapes, axes written out. Ensures: no Gather by a constant scalar where its Slice could move.
    """
    source, index, shape = node.inputs[0], constant(node.inputs[1]), dims(node.inputs[0])
    made, axis, before = dims(node.outputs[0]), attribute(node, "axis", 0), producer(source, "Transpose", "Reshape")
    if before is None or index is None or index.ndim or shape is None or made is None:
        return False
    if before.op_type == "Reshape" and _split_axis(dims(before.inputs[0]), shape, axis) is None:
        return False
    size = shape[axis]
    if not isinstance(size, int) or sum(not isinstance(dim, int) for dim in made) > 1:
        return False
    start = int(index) % size
    part = _slice(editor, node, source, axis, start, start + 1)
    target = [dim if isinstance(dim, int) else -1 for dim in made]
    values = [part, editor.constant(np.array(target, np.int64), f"{node.name}.shape")]
    _keep_name(editor, editor.retype(node, "Reshape", values), part)
    return True


@each("Slice")
def hoist_slices(editor: GraphEditor, node: ir.Node) -> bool:
    """Move a Slice of one axis in front of a Transpose, or of a Reshape that splits that axis off as the first part.

    Requires: shapes. Ensures: no such Slice reads such a node.
    """
    bounds = _bounds(node)
    before = producer(node.inputs[0], "Transpose", "Reshape")
    if bounds is None or before is None or before.inputs[0] is None:
        return False
    axis, start, end = bounds
    source, made = before.inputs[0], dims(node.outputs[0])
    if made is None:
        return False
    if before.op_type == "Transpose":
        perm = attribute(before, "perm")
        part = _slice(editor, node, source, perm[axis], start, end)
        _keep_name(editor, editor.retype(node, "Transpose", [part], {"perm": perm}), part)
        return True
    place = _split_axis(dims(source), dims(before.outputs[0]), axis)
    if place is None or sum(not isinstance(dim, int) for dim in made[1:]):
        return False
    split, rest = place
    part = _slice(editor, node, source, split, start * rest, end * rest)
    target = np.array([0, *made[1:]], np.int64)
    values = [part, editor.constant(target, f"{node.name}.shape")]
    _keep_name(editor, editor.retype(node, "Reshape", values, {"allowzero": 0}), part)
    return True


@each("Transpose")
def drop_single_axes(editor: GraphEditor, node: ir.Node) -> bool:
    """Leave axes of extent 1 out of a Transpose between two Reshapes; the first axis stays.

    Requires: shapes, perms. Ensures: no such axes there.
    """
    first, second = producer(node.inputs[0], "Reshape"), sole_consumer(node.outputs[0])
    if first is None or second is None or second.op_type != "Reshape":
        return False
    shape, out, perm = dims(node.inputs[0]), dims(second.outputs[0]), attribute(node, "perm")
    if shape is None or out is None or perm is None or sum(not isinstance(dim, int) for dim in (*shape, *out)) > 2:
        return False
    kept = [axis for axis, size in enumerate(shape) if size != 1 or axis == 0]
    if len(kept) == len(shape) or any(not isinstance(shape[axis], int) for axis in kept[1:]):
        return False
    small = [shape[axis] for axis in kept]
    target = editor.constant(_target(small), f"{first.name}.shape")
    flat = editor.insert(
        "Reshape", [first.inputs[0], target], before=node, name=first.name, like=node.outputs[0], shape=small
    )
    order = [kept.index(axis) for axis in perm if axis in kept]
    turned = editor.insert(
        "Transpose",
        [flat],
        {"perm": order},
        before=node,
        name=node.name,
        like=flat,
        shape=[small[axis] for axis in order],
    )
    editor.retype(second, "Reshape", [turned, editor.constant(_target(out), f"{second.name}.shape")])
    return True


def _target(shape: Sequence[Dim]) -> np.ndarray:
    """What Reshape needs for a shape with at most one open dimension."""
    return np.array([dim if isinstance(dim, int) else -1 for dim in shape], np.int64)


def _bounds(node: ir.Node) -> tuple[int, int, int] | None:
    """Axis, start and end of a Slice of one axis in steps of 1; None for any other."""
    starts, ends, axes, steps = (constant(input_at(node, index)) for index in range(1, 5))
    shape = dims(node.inputs[0])
    if starts is None or ends is None or axes is None or shape is None or len(axes) != 1:
        return None
    axis = int(axes[0]) % len(shape)
    size = shape[axis]
    if not isinstance(size, int) or (steps is not None and steps[0] != 1):
        return None
    start, end, _ = slice(int(starts[0]), int(ends[0])).indices(size)
    return axis, start, end


def _split_axis(before: Sequence[Dim] | None, after: Sequence[Dim] | None, axis: int) -> tuple[int, int] | None:
    """The axis of which a Reshape made ``axis`` as the first part, and how many elements one entry of that has."""
    if before is None or after is None or axis == 0 or before[0] != after[0]:
        return None
    old, new = ([dim for dim in shape[1:] if isinstance(dim, int)] for shape in (before, after))
    if len(old) != len(before) - 1 or len(new) != len(after) - 1:
        return None
    for place, size in enumerate(old):
        if math.prod(old[:place]) == math.prod(new[: axis - 1]) and size % new[axis - 1] == 0:
            parts = [math.prod(new[axis - 1 : end]) for end in range(axis + 1, len(new) + 1)]
            return (place + 1, size // new[axis - 1]) if size in parts else None
    return None


def _slice(editor: GraphEditor, node: ir.Node, source: ir.Value | None, axis: int, start: int, end: int) -> ir.Value:
    """Part of ``source``, in front of ``node``."""
    assert source is not None
    shape: list[Dim] = list(dims(source) or ())
    shape[axis] = end - start
    given = (("starts", start), ("ends", end), ("axes", axis))
    bounds = [editor.constant(np.array([number], np.int64), f"{node.name}.{role}") for role, number in given]
    return editor.insert("Slice", [source, *bounds], before=node, name=f"{node.name}/part", like=source, shape=shape)


def _keep_name(editor: GraphEditor, node: ir.Node, part: ir.Value) -> None:
    """Give the Slice that makes ``part`` the name of the node that stands where one stood."""
    made = part.producer()
    assert made is not None
    editor.swap_names(node, made)
