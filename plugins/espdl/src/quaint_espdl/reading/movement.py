"""Nodes that move numbers as layers; all sizes are known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint_espdl.reading.view import Edge, Node, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from quaint.integer import Layer


def _move(node: Node, op: str, **options: Any) -> Layer:
    """A layer that treats floats as integers."""
    real = node.output.is_real
    variables = [edge for edge in node.inputs if edge is not None and edge.tensor is None and 0 not in edge.dims]
    return node.layer(f"Float{op}" if real else op, *variables, **options)


def reshape(node: Node) -> Layer:
    """Another shape: that of the output."""
    if math.prod(node.input(0).dims) != math.prod(node.output.dims):
        raise ValueError(f"{list(node.input(0).dims)} cannot become {list(node.output.dims)}")
    return _move(node, "Reshape", shape=list(node.output.dims))


def transpose(node: Node) -> Layer:
    """Axes in another order."""
    return _move(node, "Transpose", perm=list(node.attributes["perm"]))


def concat(node: Node) -> Layer:
    """Tensors joined, of which some may be constant."""
    edges = [edge for edge in node.inputs if edge is not None]
    axis = node.attributes["axis"] % len(node.output.dims)
    if all(edge.tensor is None for edge in edges):
        return _move(node, "Concat", axis=axis)
    variables = [edge for edge in edges if edge.tensor is None]
    return _chosen(node, edges, np.concatenate(_places(edges, variables), axis))


def _places(edges: Sequence[Edge], variables: Sequence[Edge]) -> list[NDArray[np.int64]]:
    """Where the elements of each tensor are, of variables one after another, then of all constants."""
    found, start = {}, 0
    for edge in (*variables, *(edge for edge in edges if edge.tensor is not None)):
        size = math.prod(edge.dims)
        found[edge.name] = np.arange(start, start + size).reshape(edge.dims)
        start += size
    return [found[edge.name] for edge in edges]


def _chosen(node: Node, edges: Sequence[Edge], places: NDArray[np.int64]) -> Layer:
    """Elements of variables and constants, by their places."""
    variables = [edge for edge in edges if edge.tensor is None]
    constants = [edge for edge in edges if edge.tensor is not None]
    if not variables or node.output.is_real:
        raise Unsupported("nothing but constants" if not variables else "constant floats")
    count = sum(math.prod(edge.dims) for edge in variables)
    known = np.concatenate([np.zeros(count, np.int64), *(edge.array.ravel() for edge in constants)])
    flat = places.ravel()
    options = {"indices": np.minimum(flat, count).tolist(), "shape": list(node.output.dims), "constant": known[flat]}
    return node.layer("ScatterConstant", *variables, **options, **node.limits())


def split(node: Node) -> Layer:
    """Consecutive parts, of the outputs' sizes."""
    axis = node.attributes.get("axis", 0) % len(node.input(0).dims)
    return _move(node, "Split", axis=axis, sizes=[edge.dims[axis] for edge in node.outputs])


def _take(node: Node, axes: Sequence[int], indices: Iterable[Iterable[int]]) -> Layer:
    chosen = [list(map(int, places)) for places in indices]
    return _move(node, "Take", axes=list(axes), indices=chosen, shape=list(node.output.dims))


def slice_(node: Node) -> Layer:
    """Every so many entries between two, along some axes."""
    dims = node.input(0).dims
    starts, ends = (node.input(index).array.tolist() for index in (1, 2))
    given = [node.optional(index) for index in (3, 4)]
    axes = range(len(starts)) if given[0] is None else given[0].array.tolist()
    steps = [1] * len(starts) if given[1] is None else given[1].array.tolist()
    axes = [axis % len(dims) for axis in axes]
    indices = [
        range(dims[axis])[start:end:step] for axis, start, end, step in zip(axes, starts, ends, steps, strict=True)
    ]
    return _take(node, axes, indices)


def gather(node: Node) -> Layer:
    """Entries along an axis; the vendor's exporter has the output's sizes wrong if the axis is negative."""
    dims, indices = node.input(0).dims, node.input(1)
    axis = node.attributes.get("axis", 0) % len(dims)
    shape = (*dims[:axis], *indices.dims, *dims[axis + 1 :])
    if math.prod(shape) == math.prod(node.output.dims):
        shape = node.output.dims
    chosen = [np.mod(indices.array, dims[axis]).ravel().tolist()]
    return _move(node, "Take", axes=[axis], indices=chosen, shape=list(shape))


def pad(node: Node) -> Layer:
    """Borders: a value, the nearest entry, or the entries mirrored."""
    dims, pads = node.input(0).dims, node.input(1).array.tolist()
    listed = node.optional(3)
    axes = list(range(len(dims))) if listed is None else [axis % len(dims) for axis in listed.array.tolist()]
    borders = {axis: (pads[i], pads[len(axes) + i]) for i, axis in enumerate(axes)}
    around = [borders.get(axis, (0, 0)) for axis in range(len(dims))]
    if min(min(border) for border in around) < 0:
        raise Unsupported(f"negative borders {pads}")
    mode = node.attributes.get("mode", "constant")
    if mode in {"edge", "reflect"}:
        indices = [np.pad(np.arange(size), border, mode) for size, border in zip(dims, around, strict=True)]
        return _take(node, range(len(dims)), indices)
    if mode != "constant" or node.output.is_real:
        raise Unsupported(f"pads by {mode!r}")
    value = node.optional(2)
    flat = [begin for begin, _ in around] + [end for _, end in around]
    return node.layer("Pad", node.input(0), pads=flat, value=0 if value is None else int(value.array.ravel()[0]))


def depth_to_space(node: Node) -> Layer:
    """Channels to blocks of pixels.

    In mode DCR the runtime (ESP-DL 3.3.9, its C code) finds the channel by the rest of a division by the block's width, and the
    row by a division by its square: right only with as many channels; else it leaves pixels out or writes behind the map.
    """
    (batch, height, width, channels), block = node.input(0).dims, node.attributes["blocksize"]
    inner = channels // block**2
    if (node.attributes.get("mode") or "DCR") == "DCR":
        if inner != block:
            raise Unsupported(f"mode DCR with {inner} channels from blocks of {block}: the runtime writes elsewhere")
        sizes, perm = [batch, height, width, block, block, inner], [0, 1, 3, 2, 4, 5]
    else:
        sizes, perm = [batch, height, width, inner, block, block], [0, 1, 4, 2, 5, 3]
    return _move(node, "Rearrange", split=sizes, perm=perm, shape=list(node.output.dims))


def space_to_depth(node: Node) -> Layer:
    """Blocks of pixels to channels; the pixels of a block lie side by side, not the channels (as they do in ONNX)."""
    (batch, height, width, channels), block = node.input(0).dims, node.attributes["blocksize"]
    sizes = [batch, height // block, block, width // block, block, channels]
    return _move(node, "Rearrange", split=sizes, perm=[0, 1, 3, 5, 2, 4], shape=list(node.output.dims))


def reverse_sequence(node: Node) -> Layer:
    """The first so many entries of each sequence in reverse."""
    dims = node.input(0).dims
    places = np.arange(np.prod(dims)).reshape(dims)
    moved = np.moveaxis(places, [node.attributes["batch_axis"], node.attributes["time_axis"]], [0, 1])
    for sequence, length in zip(moved, node.input(1).array.tolist(), strict=True):
        sequence[:length] = sequence[:length][::-1].copy()
    return _move(node, "Scatter", indices=places.ravel().tolist(), shape=list(dims))


def scatter_nd(node: Node) -> Layer:
    """Updates put, or combined, into places of the data."""
    data, indices, updates = node.input(0), node.input(1).array, node.input(2)
    reduction = node.attributes.get("reduction", "none")
    constant = data.tensor is not None or updates.tensor is not None
    if reduction != "none":
        if constant:
            raise Unsupported(f"combines ({reduction}) with a constant")
        return node.layer("ScatterReduce", data, updates, indices=indices, reduction=reduction, **node.limits())
    variables = [edge for edge in (data, updates) if edge.tensor is None]
    places, given = _places((data, updates), variables)
    rows = given.reshape(-1, *data.dims[indices.shape[-1] :])
    for place, row in zip(indices.reshape(-1, indices.shape[-1]).tolist(), rows, strict=True):
        places[tuple(place)] = row
    if constant:
        return _chosen(node, (data, updates), places)
    return _move(node, "Scatter", indices=places.ravel().tolist(), shape=list(data.dims))


def streaming_cache(node: Node) -> Layer:
    """The last frames of a stream; before the first frame there are zeros."""
    source, out = node.input(0).dims, node.output.dims
    missing = [after - before for before, after in zip(source, out, strict=True)]
    if min(missing) < 0 or sum(map(bool, missing)) > 1:
        raise Unsupported(f"keeps frames of shape {list(out)} of {list(source)}")
    return node.layer("Pad", node.input(0), pads=[*missing, *[0] * len(source)], value=0)


MOVEMENT: dict[str, Callable[[Node], Layer]] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"), reshape),
    "Transpose": transpose,
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Gather": gather,
    "Pad": pad,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "ReverseSequence": reverse_sequence,
    "ScatterND": scatter_nd,
    "StreamingCache": streaming_cache,
}
