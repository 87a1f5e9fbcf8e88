"""The interpreter's reductions, products of two tensors and interpolation; registers them where it is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from espdl_interpreter import OPERATIONS, Interpreter, same_exponent

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from quaint_espdl.file.elements import EspdlNode

    Array = NDArray[Any]


def _axes(run: Interpreter, node: EspdlNode) -> tuple[int, ...]:
    return tuple(int(axis) for axis in run.constants[node.inputs[1]].array)


def _shaped(node: EspdlNode) -> dict[str, bool]:
    return {"keepdims": bool(node.attributes["keepdims"])}


def reduce_extreme(run: Interpreter, node: EspdlNode) -> Array:
    (x,) = same_exponent(run, node, node.inputs[0])
    extreme = x.max if node.op_type == "ReduceMax" else x.min
    return np.asarray(extreme(_axes(run, node), **_shaped(node)))


def reduce_sum(run: Interpreter, node: EspdlNode) -> Array:
    total = run.integers(node.inputs[0]).sum(_axes(run, node), **_shaped(node))
    return np.asarray(
        run.saturate(node, run.shift(total, run.exponent(node.outputs[0]) - run.exponent(node.inputs[0])))
    )


def in_float(run: Interpreter, node: EspdlNode) -> Array:
    """Float32 of ``x * 2**e_in``, reduced, times ``2**-e_out``, rounded; sums of integers where the runtime has them."""
    x, axes, kept = run.integers(node.inputs[0]), _axes(run, node), _shaped(node)
    scale = np.float32(2.0 ** run.exponent(node.inputs[0]))
    real = x.astype(np.float32) * scale
    count = np.float32(np.prod([x.shape[axis] for axis in axes]))
    functions: dict[str, Callable[[], Any]] = {
        "ReduceMean": lambda: x.sum(axes, **kept).astype(np.float32) * scale / count,
        "ReduceL1": lambda: np.abs(x).sum(axes, **kept).astype(np.float32) * scale,
        "ReduceL2": lambda: np.sqrt((x * x).sum(axes, **kept).astype(np.float32)) * scale,
        "ReduceSumSquare": lambda: (x * x).sum(axes, **kept).astype(np.float32) * scale * scale,
        "ReduceProd": lambda: np.multiply.reduce(real, axes, np.float32, **kept),
        "ReduceLogSum": lambda: np.log(x.sum(axes, **kept).astype(np.float32) * scale),
        "ReduceLogSumExp": lambda: np.log(np.exp(real).sum(axes, **kept)),
    }
    with np.errstate(invalid="ignore", divide="ignore"):
        value = functions[node.op_type]() * np.float32(2.0 ** -run.exponent(node.outputs[0]))
    return np.asarray(run.saturate(node, run.round(np.clip(np.nan_to_num(value), -(2**30), 2**30))))


def matmul(run: Interpreter, node: EspdlNode) -> Array:
    """Element (k, n) of the right operand is where packed weights have it."""
    x, y = (run.integers(name) for name in node.inputs)
    assert node.attributes["input1_layout"] == "packed"
    rows, columns = y.shape[-2:]
    bits = int(node.attributes["quant_type"][1:])
    group = 128 // bits if run.grouped else columns + 1
    place = np.empty((rows, columns), np.int64)
    for k in range(rows):
        for n in range(columns):
            filled = n < columns // group * group
            place[k, n] = (n // group * rows + k) * group + n % group if filled else n * rows + k
    right = y.reshape(*y.shape[:-2], -1)[..., place]
    entering = sum(run.exponent(name) for name in node.inputs)
    shift = run.exponent(node.outputs[0]) - entering
    assert shift >= 0
    return np.asarray(run.saturate(node, run.shift(x @ right, shift)))


def _linear(x: Array, axis: int, after: int, scale: np.float32, *, corners: bool) -> Array:
    """One axis, an entry of the output at a time."""
    before, columns = x.shape[axis], []
    inverse = np.float32(1) / (np.float32(after - 1) / np.float32(before - 1) if corners else scale)
    for place in range(after):
        exact = (
            np.float32(place) * inverse
            if corners
            else (np.float32(place) + np.float32(0.5)) * inverse - np.float32(0.5)
        )
        low = int(np.floor(exact))
        part = np.float32(exact - np.float32(low))
        low, part = (0, np.float32(0)) if low < 0 else (low, part)
        low, part = (before - 2, np.float32(1)) if low >= before - 1 else (low, part)
        columns.append(x.take(low, axis) * (np.float32(1) - part) + x.take(low + 1, axis) * part)
    return np.stack(columns, axis)


def resize(run: Interpreter, node: EspdlNode) -> Array:
    assert node.attributes["mode"] == "linear"
    assert node.attributes["quant_type"] == "S8"
    x = run.integers(node.inputs[0])
    sizes = [int(n) for n in run.info[node.outputs[0]].dims]
    given = run.constants[node.inputs[2]].array if len(node.inputs) == 3 else None
    value = x.astype(np.float32) * np.float32(2.0 ** run.exponent(node.inputs[0]))
    corners = node.attributes["coordinate_transformation_mode"] == "align_corners"
    for axis in reversed(range(1, x.ndim - 1)):
        scale = np.float32(sizes[axis] / x.shape[axis]) if given is None else given[axis + 1]
        assert given is None or int(np.float32(x.shape[axis]) * scale) == sizes[axis]
        value = _linear(value, axis, sizes[axis], scale, corners=corners)
    return np.asarray(run.saturate(node, run.round(value * np.float32(2.0 ** -run.exponent(node.outputs[0])))))


OPERATIONS |= {
    "ReduceMax": reduce_extreme,
    "ReduceMin": reduce_extreme,
    "ReduceSum": reduce_sum,
    "MatMul": matmul,
    "Resize": resize,
    **dict.fromkeys(
        ("ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd", "ReduceLogSum", "ReduceLogSumExp"),
        in_float,
    ),
}
