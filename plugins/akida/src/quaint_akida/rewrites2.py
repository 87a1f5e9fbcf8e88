"""What Akida 2 lacks, in layers that it has; ``REWRITES`` run in this order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint import graph
from quaint_akida.entrances import rescale_at_entrance
from quaint_akida.forks2 import identity_behind_entrance
from quaint_akida.limits2 import CHANNELS, PROCESSED
from quaint_akida.rewriting import Rewrite, each, identity, map_size, put_behind, retype, window
from quaint_akida.windows import ungroup
from quaint_akida.windows2 import (
    average_by_convolution,
    average_in_steps,
    grow_kernels,
    pool_fits,
    pool_in_steps,
    split_strides,
)

if TYPE_CHECKING:
    import onnx_ir as ir

    from quaint.config import Config
    from quaint.graph import GraphEditor

JOINS = frozenset({"Add", "Concat"})
#: Coordinates and roundings of a nearest Resize at which each pixel becomes a square of four.
DOUBLING = frozenset(
    {
        ("asymmetric", "floor"),
        ("asymmetric", "round_prefer_floor"),
        *((mode, f"round_prefer_{end}") for mode in ("half_pixel", "pytorch_half_pixel") for end in ("floor", "ceil")),
    }
)


@each("Resize")
def double_by_transposed(editor: GraphEditor, _config: Config, node: ir.Node) -> str | None:
    """A map twice as large, each pixel four times: a depthwise transposed convolution of ones."""
    x, size, scales = node.inputs[0], map_size(node.inputs[0]), graph.constant(graph.input_at(node, 2))
    mode = graph.attribute(node, "coordinate_transformation_mode", "half_pixel")
    how = (mode, graph.attribute(node, "nearest_mode", "round_prefer_floor"))
    if x is None or size is None or scales is None or how not in DOUBLING:
        return None
    if graph.attribute(node, "mode", "nearest") != "nearest" or scales.tolist() != [1, 1, 2, 2]:
        return None
    kernel = np.zeros((size[0], 1, 3, 3), np.float32)
    kernel[:, :, :2, :2] = 1
    constants = {"weight": kernel, "bias": np.zeros(size[0], np.float32)}
    attributes = window(3, 2, [0, 0, 1, 1]) | {"group": size[0], "output_padding": [0, 0]}
    retype(editor, node, "ConvTranspose", x, constants, attributes)
    return "no layer resizes; a depthwise transposed convolution now"


@each("Slice")
def select_by_convolution(editor: GraphEditor, _config: Config, node: ir.Node) -> str | None:
    """Every other row and column: a 1x1 identity convolution of stride 2."""
    inner = graph.producer(node.inputs[0], "Slice")
    if inner is None or graph.sole_consumer(inner.outputs[0]) is not node or {_halves(inner), _halves(node)} != {2, 3}:
        return None
    x = inner.inputs[0]
    size = map_size(x)
    if x is None or size is None:
        return None
    retype(editor, node, "Conv", x, identity(size[0]), window(1, 2, [0] * 4) | {"group": 1})
    editor.erase(inner)
    return "no layer selects pixels; a 1x1 identity of stride 2 now"


def _halves(node: ir.Node) -> int | None:
    """The axis of which a Slice takes every other entry from the first on; None if it does anything else."""
    given = [graph.constant(value) for value in node.inputs[1:]]
    if len(given) != 4 or any(array is None or array.size != 1 for array in given):
        return None
    start, end, axis, step = (int(array.item()) for array in given if array is not None)
    length = (graph.dims(node.inputs[0]) or ())[axis]
    return axis if (start, step) == (0, 2) and isinstance(length, int) and end >= length else None


@each("Pad")
def widen_by_convolution(editor: GraphEditor, _config: Config, node: ir.Node) -> str | None:
    """Further channels of zeros: filters of zeros in the convolution before, or in a 1x1 identity."""
    x, size, more = node.inputs[0], map_size(node.inputs[0]), _added_channels(node)
    if x is None or size is None or more is None:
        return None
    conv = graph.producer(x, "Conv")
    alone = conv is not None and graph.sole_consumer(x) is node and graph.attribute(conv, "group") == 1
    weight, bias = (graph.constant(conv.inputs[i]) if alone and conv is not None else None for i in (1, 2))
    if conv is None or weight is None or bias is None:
        constants = identity(size[0])
        filters = np.pad(constants["weight"], [more, *[(0, 0)] * 3])
        wide = {"weight": filters, "bias": np.zeros(len(filters), np.float32)}
        retype(editor, node, "Conv", x, wide, window(1, 1, [0] * 4) | {"group": 1})
        return "no layer adds channels; a 1x1 identity with filters of zeros now"
    editor.set_constant(conv, 1, np.pad(weight, [more, *[(0, 0)] * 3]))
    editor.set_constant(conv, 2, np.pad(bias, [more]))
    shape = node.outputs[0].shape
    x.shape = None if shape is None else shape.copy()
    editor.bypass(node, x)
    return f"no layer adds channels; filters of zeros in {conv.name} now"


def _added_channels(node: ir.Node) -> tuple[int, int] | None:
    """How many channels of zeros a Pad adds before and after; None if it does anything else."""
    pads, fill = graph.constant(node.inputs[1]), graph.scalar(graph.input_at(node, 2))
    if pads is None or len(pads) != 8 or fill not in {None, 0.0} or graph.input_at(node, 3) is not None:
        return None
    before, after = int(pads[1]), int(pads[5])
    only = graph.attribute(node, "mode", "constant") == "constant" and min(before, after) >= 0
    return (before, after) if only and np.count_nonzero(pads) == (before > 0) + (after > 0) else None


@each("Concat")
def split_joins(editor: GraphEditor, _config: Config, node: ir.Node) -> str | None:
    """More than two maps joined along their channels: two, then one at a time."""
    parts = [(value, map_size(value)) for value in node.inputs]
    axis = graph.attribute(node, "axis")
    if len(parts) < 3 or axis != 1 or any(value is None or size is None for value, size in parts):
        return None
    (joined, size), rest = parts[0], parts[1:]
    assert size is not None
    channels, batch = size[0], (graph.dims(joined) or (None,))[0]
    for i, (value, more) in enumerate(rest[:-1]):
        assert joined is not None
        assert more is not None
        channels += more[0]
        shape, name = (batch, channels, *size[1:]), f"{node.name}_{i}"
        joined = editor.insert("Concat", [joined, value], {"axis": 1}, before=node, name=name, like=joined, shape=shape)
    editor.retype(node, "Concat", [joined, rest[-1][0]], {"axis": 1})
    return f"joins {len(parts)} maps, the chip two at a time; {len(parts) - 1} layers now"


@each("Conv")
def dense_points(editor: GraphEditor, _config: Config, node: ir.Node) -> str | None:
    """A 1x1 convolution of a map of one pixel that is then flattened: a dense layer, without a word, since both run."""
    x, flat, size = node.inputs[0], graph.sole_consumer(node.outputs[0]), map_size(node.inputs[0])
    weight = graph.constant(node.inputs[1])
    if x is None or weight is None or size is None or flat is None or not graph.is_op(flat, "Flatten"):
        return None
    if size[1:] != (1, 1) or weight.shape[1:] != (size[0], 1, 1) or any(graph.attribute(node, "pads")):
        return None
    shape = ((graph.dims(x) or (None,))[0], size[0])
    row = editor.insert("Flatten", [x], {"axis": 1}, before=node, name=f"{node.name}_flat", like=x, shape=shape)
    matrix = editor.constant(weight[:, :, 0, 0], f"{node.name}.matrix")
    attributes = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}
    source = flat.outputs[0]
    dense = editor.insert(
        "Gemm", [row, matrix, node.inputs[2]], attributes, before=node, name=f"{node.name}_dense", like=source
    )
    made = dense.producer()
    assert made is not None
    editor.swap_names(node, made)
    editor.replace(source, dense)
    editor.erase(flat)
    return None


@each("Add", "Concat", "MaxPool")
def identity_behind(editor: GraphEditor, config: Config, node: ir.Node) -> str | None:
    """A sum, a joined map or max pooling whose readers are no convolution: a 1x1 identity convolution behind it."""
    value, size = node.outputs[0], map_size(node.outputs[0])
    constants = [operand for operand in node.inputs if graph.constant(operand) is not None]
    if size is None or size[0] > CHANNELS or constants or (node.op_type == "MaxPool" and not pool_fits(config, node)):
        return None
    readers = list(dict.fromkeys(user for user, _ in value.uses()))
    others = [user for user in readers if user.op_type not in PROCESSED | (JOINS if node.op_type in JOINS else set())]
    served = any(user.op_type in PROCESSED for user in readers)
    whole = value.is_graph_output() or not served
    if not whole and not others:
        return None
    put_behind(
        editor,
        value,
        "Conv",
        identity(size[0]),
        window(1, 1, [0] * 4) | {"group": 1},
        name=f"{node.name}_identity",
        readers=None if whole else others,
    )
    return "must feed a convolution; a 1x1 identity follows now"


REWRITES: tuple[Rewrite, ...] = (
    rescale_at_entrance,
    average_by_convolution,
    average_in_steps,
    double_by_transposed,
    select_by_convolution,
    widen_by_convolution,
    ungroup,
    grow_kernels,
    split_strides,
    pool_in_steps,
    dense_points,
    split_joins,
    identity_behind_entrance,
    identity_behind,
)
