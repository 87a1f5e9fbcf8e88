"""The interpreter's operators that move numbers, as the runtime's C code does it; registers them where it is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from espdl_interpreter import OPERATIONS, Interpreter, same_exponent
from espdl_interpreter_reductions import resize as resize_linear

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint_espdl.file.elements import EspdlNode

    Array = NDArray[Any]


def _source(run: Interpreter, node: EspdlNode) -> Array:
    return same_exponent(run, node, node.inputs[0])[0]


def _numbers(run: Interpreter, node: EspdlNode, index: int) -> list[int]:
    tensor = run.constants[node.inputs[index]]
    assert tensor.array.dtype == np.int64
    return [int(number) for number in tensor.array]


def slice_(run: Interpreter, node: EspdlNode) -> Array:
    """Forwards only; bounds below zero count from the end, those beyond it are the end."""
    x = _source(run, node)
    starts, ends, axes, steps = (_numbers(run, node, index) for index in range(1, 5))
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = x.shape[axis]
        first, last = (bound + size if bound < 0 else min(bound, size) for bound in (start, end))
        assert 0 <= first < last <= size
        assert step > 0
        x = x.take(np.arange(first, last, step), axis)
    return x


def gather(run: Interpreter, node: EspdlNode) -> Array:
    x, indices = _source(run, node), _numbers(run, node, 1)
    axis = node.attributes["axis"]
    assert all(0 <= index < x.shape[axis] for index in indices)
    return np.stack([x[(slice(None),) * axis + (index,)] for index in indices], axis)


def pad(run: Interpreter, node: EspdlNode) -> Array:
    x, pads, mode = _source(run, node), _numbers(run, node, 1), node.attributes["mode"]
    rank = x.ndim
    begins, ends = pads[:rank], pads[rank:]
    assert len(pads) == 2 * rank
    places = [np.arange(-begin, size + end) for begin, size, end in zip(begins, x.shape, ends, strict=True)]
    if mode == "constant":
        value = run.constants[node.inputs[2]]
        assert value.exponents == (run.exponent(node.inputs[0]),)
        out = np.full([len(place) for place in places], int(value.array), np.int64)
        out[tuple(slice(begin, begin + size) for begin, size in zip(begins, x.shape, strict=True))] = x
        return out
    assert mode in {"edge", "reflect"}
    for axis, (place, size) in enumerate(zip(places, x.shape, strict=True)):
        if mode == "edge":
            assert axis == rank - 1 or begins[axis] == ends[axis], "the runtime puts the far edge elsewhere"
            x = x.take(np.clip(place, 0, size - 1), axis)
        else:
            assert max(begins[axis], ends[axis]) < size
            x = x.take(size - 1 - np.abs(size - 1 - np.abs(place)), axis)
    return x


def resize_nearest(run: Interpreter, node: EspdlNode) -> Array:
    x, wish = _source(run, node), node.attributes
    assert (wish["coordinate_transformation_mode"], wish["nearest_mode"]) == ("asymmetric", "floor")
    assert wish["quant_type"] == "S8", "16 bits: the output stays as it was"
    assert node.inputs[1] == ""
    scales = run.constants[node.inputs[2]].array
    assert scales.dtype == np.float32
    assert scales[:2].tolist() == [1, 1]
    for axis, scale in enumerate(scales[2:], 1):
        places = np.arange(int(np.float32(x.shape[axis]) * scale), dtype=np.float32) * (np.float32(1) / scale)
        x = x.take(np.floor(places).astype(int), axis)
    return x


def depth_to_space(run: Interpreter, node: EspdlNode) -> Array:
    x, block = _source(run, node), node.attributes["blocksize"]
    batch, height, width, channels = x.shape
    square, depth = block**2, channels // block**2
    out = np.zeros((batch, height * block, width * block, depth), np.int64)
    for c in range(channels):
        if node.attributes["mode"] == "CRD":
            row, column, place = c % square // block, c % block, c // square
        else:
            assert depth == block, "the runtime divides by the width of a block"
            row, column, place = c // square, c % square // block, c % block
        out[:, row::block, column::block, place] = x[..., c]
    return out


def space_to_depth(run: Interpreter, node: EspdlNode) -> Array:
    x, block = _source(run, node), node.attributes["blocksize"]
    batch, height, width, channels = x.shape
    out = np.zeros((batch, height // block, width // block, channels * block**2), np.int64)
    for row in range(block):
        for column in range(block):
            for c in range(channels):
                out[..., c * block**2 + row * block + column] = x[:, row::block, column::block, c]
    return out


def resize(run: Interpreter, node: EspdlNode) -> Array:
    return (resize_nearest if node.attributes["mode"] == "nearest" else resize_linear)(run, node)


OPERATIONS |= {
    "Slice": slice_,
    "Gather": gather,
    "Pad": pad,
    "Resize": resize,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
}
