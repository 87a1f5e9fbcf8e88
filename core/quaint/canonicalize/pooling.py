"""Averages over whole feature maps, and normalizations behind pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.canonicalize.affine import normalization
from quaint.canonicalize.rule import each
from quaint.graph import GraphEditor, attribute, constant, dims, input_at, producer, sole_consumer

if TYPE_CHECKING:
    import onnx_ir as ir


@each("ReduceMean", "AveragePool")
def unify_global_pool(editor: GraphEditor, node: ir.Node) -> bool:
    """Turn means over all spatial axes into GlobalAveragePool (and Flatten, where the axes are dropped).

    Requires: shapes; windows written out. Ensures: no ReduceMean over exactly the spatial axes; no AveragePool whose
    one window is the whole map, without padding.
    """
    shape = dims(node.inputs[0])
    if shape is None or len(shape) < 3 or not _is_global(node, shape):
        return False
    if node.op_type == "AveragePool" or attribute(node, "keepdims", 1):
        editor.retype(node, "GlobalAveragePool", [node.inputs[0]])
        return True
    pooled = editor.insert(
        "GlobalAveragePool",
        [node.inputs[0]],
        before=node,
        name=f"{node.name}/pool",
        like=node.outputs[0],
        shape=[*shape[:2], *[1] * (len(shape) - 2)],
    )
    pool = pooled.producer()
    assert pool is not None
    editor.swap_names(node, pool)
    editor.retype(node, "Flatten", [pooled], {"axis": 1})
    return True


def _is_global(node: ir.Node, shape: tuple[int | str | None, ...]) -> bool:
    spatial = list(range(2, len(shape)))
    if node.op_type == "ReduceMean":
        axes = constant(input_at(node, 1))
        return axes is not None and sorted(int(axis) % len(shape) for axis in axes.reshape(-1)) == spatial
    result = dims(node.outputs[0])
    return (
        tuple(attribute(node, "kernel_shape")) == shape[2:]
        and attribute(node, "pads") is not None
        and not any(attribute(node, "pads"))
        and all(dilation == 1 for dilation in attribute(node, "dilations", ()))
        and result is not None
        and all(dim == 1 for dim in result[2:])
    )


@each("BatchNormalization")
def normalize_before_pool(editor: GraphEditor, node: ir.Node) -> bool:
    """Move a BatchNormalization in front of the pool between it and a layer that takes it in.

    Requires: windows written out. Ensures: none behind a MaxPool if every channel's scale is positive, nor behind an
    AveragePool without borders that count, where a Conv or ConvTranspose with constant weights feeds that pool alone.
    """
    pool = producer(node.inputs[0], "MaxPool", "AveragePool")
    layer = None if pool is None else producer(pool.inputs[0], "Conv", "ConvTranspose")
    if pool is None or layer is None or constant(layer.inputs[1]) is None or not _commute(pool, node):
        return False
    if (
        len(pool.outputs) > 1
        or sole_consumer(layer.outputs[0]) is not pool
        or sole_consumer(pool.outputs[0]) is not node
    ):
        return False
    editor.move_before(node, pool)
    return True


def _commute(pool: ir.Node, node: ir.Node) -> bool:
    """Whether a BatchNormalization behind a pool does the same in front of it."""
    affine = normalization(node)
    if affine is None:
        return False
    if pool.op_type == "MaxPool":
        return bool((affine[0] > 0).all())
    return not (any(attribute(pool, "pads", ())) and attribute(pool, "count_include_pad", 0))
