"""Entries along axes, and borders, as nodes of the runtime.

Where the runtime's own operator does something else than ONNX's (ESP-DL 3.3.9, its C code), a ``Gather`` takes its place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint.layers.kernels_movement import border_indices
from quaint_espdl.writing.graph import channel_last, original

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from quaint.integer import Layer
    from quaint_espdl.writing.graph import GraphWriter, Layout

    Indices = Mapping[int, Sequence[int]]


def take(writer: GraphWriter, layer: Layer) -> None:
    """Resize where pixels are repeated, else Slice for what is in order and Gather for what is not."""
    tensor = layer.inputs[0]
    indices: Indices = dict(zip(layer.attributes["axes"], layer.attributes["indices"], strict=True))
    factors = _factors(writer, tensor, indices)
    if factors is not None:
        _resize(writer, layer, factors)
    elif "shape" in layer.attributes:
        _take_and_reshape(writer, layer, indices)
    else:
        _select(writer, layer, indices, writer.layout(tensor))


def _factors(writer: GraphWriter, tensor: str, indices: Indices) -> list[float] | None:
    """The scales of a Resize that takes these entries; None if there is none.

    The runtime resizes 8-bit maps only (at 16 bits it leaves its output as it was), and finds the entry of a pixel by a
    product with the inverse of the scale in float32.
    """
    shape = writer.shape(tensor)
    scales = [1.0] * len(shape)
    if len(shape) not in {3, 4} or min(indices) < 2 or writer.params(tensor).dtype.bits != 8:
        return None
    for axis, chosen in indices.items():
        factor, rest = divmod(len(chosen), shape[axis])
        places = np.floor(np.arange(len(chosen), dtype=np.float32) * (np.float32(1) / np.float32(max(factor, 1))))
        if factor < 2 or rest or places.astype(int).tolist() != list(chosen):
            return None
        scales[axis] = float(factor)
    return scales


def _resize(writer: GraphWriter, layer: Layer, scales: Sequence[float]) -> None:
    """Resize; its scales stay in the model's order."""
    layout = channel_last(len(scales))
    source, output = writer.take(layer.inputs[0], layout), writer.declare(layer.outputs[0], layout)
    given = writer.constant(f"{layer.name}.scales", np.asarray(scales, np.float32))
    wish = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    params = writer.params(layer.outputs[0])
    writer.node("Resize", layer.name, (source, "", given), (output,), params, cubic_coeff_a=-0.75, **wish)


def _take_and_reshape(writer: GraphWriter, layer: Layer, indices: Indices) -> None:
    """One list of entries, then the output's shape; in the model's order, unless the layout's is the same by then."""
    (tensor,), (made,) = layer.inputs, layer.outputs
    ((axis, chosen),) = indices.items()
    dims = [len(chosen) if i == axis else size for i, size in enumerate(writer.shape(tensor))]
    layout = writer.layout(tensor)
    long = [i for i in layout if dims[i] != 1]
    if long != sorted(long):
        layout = original(len(dims))
    source, shape = writer.take(tensor, layout), writer.shape(made)
    taken = writer.scratch(f"{made}_taken", [dims[i] for i in layout], tensor)
    gather(writer, layer, source, taken, layout.index(axis), chosen)
    wanted = writer.constant(f"{layer.name}.shape", np.asarray(shape, np.int64))
    output = writer.declare(made, original(len(shape)))
    writer.node("Reshape", f"{layer.name}_Reshape", (taken, wanted), (output,), writer.params(made), allowzero=0)


def _select(writer: GraphWriter, layer: Layer, indices: Indices, layout: Layout) -> None:
    """What is evenly spaced as one Slice, then a Gather for each other axis; ``layout`` at both ends."""
    (tensor,), (made,) = layer.inputs, layer.outputs
    source = writer.take(tensor, layout)
    dims = [writer.shape(tensor)[axis] for axis in layout]
    spaced = {axis: chosen for axis, chosen in indices.items() if _step(chosen)}
    steps = [spaced] if spaced else []
    steps += [{axis: chosen} for axis, chosen in indices.items() if axis not in spaced]
    for place, step in enumerate(steps):
        for axis, chosen in step.items():
            dims[layout.index(axis)] = len(chosen)
        last = place == len(steps) - 1
        target = writer.declare(made, layout) if last else writer.scratch(f"{made}_part", dims, tensor)
        if step is spaced:
            _slice(writer, layer, source, target, {layout.index(axis): chosen for axis, chosen in step.items()})
        else:
            ((axis, chosen),) = step.items()
            gather(writer, layer, source, target, layout.index(axis), chosen)
        source = target


def _step(chosen: Sequence[int]) -> int:
    """By how much each entry is further than the one before; 0 where they are not evenly spaced or go backwards."""
    steps = set(np.diff(chosen).tolist()) or {1}
    return steps.pop() if len(steps) == 1 and min(steps) > 0 else 0


def _slice(writer: GraphWriter, layer: Layer, source: str, target: str, indices: Indices) -> None:
    """Slice with bounds for every axis: older runtimes step over single elements along the last axis that is listed."""
    dims = writer.variables[source].dims
    whole = {axis: range(int(size)) for axis, size in enumerate(dims)} | dict(indices)
    bounds = {
        "starts": [chosen[0] for chosen in whole.values()],
        "ends": [chosen[-1] + 1 for chosen in whole.values()],
        "axes": list(whole),
        "steps": [_step(chosen) for chosen in whole.values()],
    }
    given = [writer.constant(f"{layer.name}.{role}", np.asarray(values, np.int64)) for role, values in bounds.items()]
    writer.node("Slice", layer.name, (source, *given), (target,), writer.params(layer.outputs[0]))


def gather(writer: GraphWriter, layer: Layer, source: str, target: str, axis: int, chosen: Sequence[int]) -> None:
    """Entries along an axis of the file's tensor."""
    indices = writer.constant(f"{layer.name}.indices", np.asarray(chosen, np.int64))
    writer.node("Gather", layer.name, (source, indices), (target,), writer.params(layer.outputs[0]), axis=axis)


def pad(writer: GraphWriter, layer: Layer) -> None:
    """Pad in the layout of its input, its value on the input's exponent."""
    (tensor,), (made,) = layer.inputs, layer.outputs
    layout, wish = writer.layout(tensor), layer.attributes
    rank = len(layout)
    begins, ends = ([wish["pads"][side + axis] for axis in layout] for side in (0, rank))
    if wish["mode"] == "edge" and begins[:-1] != ends[:-1]:
        # the runtime puts the far edge of any axis but the last where an equal border would have it
        _select(writer, layer, border_indices(writer.shape(tensor), wish["pads"], "edge"), layout)
        return
    inputs = [writer.take(tensor, layout), writer.constant(f"{layer.name}.pads", np.asarray(begins + ends, np.int64))]
    params = writer.params(made)
    if wish["mode"] == "constant":
        value = np.asarray(wish["value"], params.dtype.storage)
        inputs.append(writer.constant(f"{layer.name}.value", value, (writer.exponent(made),)))
    writer.node("Pad", layer.name, inputs, (writer.declare(made, layout),), params, mode=wish["mode"])
