"""The values of a model's constants: numbers that no scale can be found for are refused, by name and place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from quaint.errors import QuaintError
from quaint.frontends.onnx_graph import graphs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

_FLOAT32_MAX = float(np.finfo(np.float32).max)

# Operators that hand a constant's elements on as they are.
_MOVES = frozenset(
    {
        *("Identity", "Cast", "CastLike", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"),
        *("Expand", "Tile", "Slice", "Gather", "Concat", "Split"),
    }
)
_MULTIPLIES = frozenset(
    {
        *("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "Mul", "PRelu", "RNN", "GRU", "LSTM", "DeformConv"),
        *("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization"),
    }
)
# Infinity is a bound, a filling or a mask here, and not a number to compute with.
_BOUNDS = frozenset(
    {"Where", "Clip", "Min", "Max", "Pad", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "IsInf"}
)


def check_weights(model: ir.Model, where: str) -> None:
    """Refuse NaN (QM180), infinite (QM181) and overflowing (QM182) weights.

    A weight overflows if it exceeds ``sqrt(M / n)``, where M is the largest float32 and n the number of elements of
    its tensor. No sum of up to n products can overflow while weights and activations stay within this bound, and no
    larger bound on both gives that. Tensors that are not multiplied (masks, clipping limits) may be as large as they
    like, and infinite where that is a bound or a mask.

    Raises:
        QuaintError: the codes above, naming the tensor, how many values are concerned and the first of them.
    """
    for value, array in _constants(model):
        if not array.size:
            continue
        # NaN survives both, so that sound tensors cost two passes and no memory.
        low, high = float(array.min()), float(array.max())
        largest = max(-low, high)
        if math.isnan(low) or math.isnan(high):
            hint = "the training run diverged or the file is damaged: export a sound checkpoint"
            raise _bad("QM180", "NaN", np.isnan(array), value, where, hint)
        if math.isinf(largest) and not _is_bound(value, array):
            hint = "the training run diverged or float16 overflowed: export a sound checkpoint in float32"
            raise _bad("QM181", "infinite", np.isinf(array), value, where, hint)
        bound = math.sqrt(_FLOAT32_MAX / array.size)
        if math.isfinite(largest) and largest > bound and _is_multiplied(value, array):
            what = f"too large ({largest:.3g}, products above {bound:.3g} overflow float32)"
            hint = "the training run diverged or the file is damaged: export a sound checkpoint"
            raise _bad("QM182", what, np.abs(array) > bound, value, where, hint)


def _bad(code: str, what: str, mask: npt.NDArray[np.bool_], value: ir.Value, where: str, hint: str) -> QuaintError:
    first = [int(i) for i in np.unravel_index(int(mask.argmax()), mask.shape)]
    text = f"tensor {value.name!r}: {int(mask.sum())} of {mask.size} values are {what}, the first at {first}"
    return QuaintError(code, text, where=where, hint=hint)


def _constants(model: ir.Model) -> Iterator[tuple[ir.Value, npt.NDArray[np.floating]]]:
    """Every constant of floats: initializers and the values of Constant nodes."""
    for graph, _ in graphs(model):
        if isinstance(graph, ir.Graph):
            for value in graph.initializers.values():
                yield from _floats(value, value.const_value)
        for node in graph:
            if node.op_type == "Constant":
                for attribute in node.attributes.values():
                    yield from _floats(node.outputs[0], _tensor(attribute))


def _tensor(attribute: ir.Attr) -> ir.TensorProtocol | None:
    if attribute.type == ir.AttributeType.TENSOR:
        return attribute.as_tensor()
    if attribute.type == ir.AttributeType.FLOAT:
        return ir.tensor(attribute.as_float(), ir.DataType.FLOAT)
    if attribute.type == ir.AttributeType.FLOATS:
        return ir.tensor(list(attribute.as_floats()), ir.DataType.FLOAT)
    return None


def _floats(value: ir.Value, tensor: ir.TensorProtocol | None) -> Iterator[tuple[ir.Value, npt.NDArray[np.floating]]]:
    if tensor is not None and tensor.dtype.is_floating_point():
        array = tensor.numpy()
        native = array.dtype in (np.float16, np.float32, np.float64)
        yield value, array if native else array.astype(np.float32)


def _users(value: ir.Value) -> Iterator[ir.Node]:
    """The nodes that compute with the elements of ``value``, past those that only move them."""
    pending, seen = [value], {value}
    while pending:
        for node in pending.pop().consumers():
            if node.op_type not in _MOVES:
                yield node
            else:
                pending.extend(set(node.outputs) - seen)
                seen.update(node.outputs)


def _is_multiplied(value: ir.Value, array: npt.NDArray[np.floating]) -> bool:
    # A mask of zeros and ones is often multiplied by one huge number, to be added before a softmax.
    multiplied = {node.op_type for node in _users(value)} & _MULTIPLIES
    return bool(multiplied) and not (multiplied == {"Mul"} and array.size == 1)


def _is_bound(value: ir.Value, array: npt.NDArray[np.floating]) -> bool:
    return all(node.op_type in _BOUNDS or _is_mask(node, array) for node in _users(value))


def _is_mask(node: ir.Node, array: npt.NDArray[np.floating]) -> bool:
    """Whether ``node`` adds minus infinity to what goes into a softmax."""
    after = [user.op_type for user in node.outputs[0].consumers()]
    return node.op_type == "Add" and float(array.max()) < math.inf and set(after) == {"Softmax"}
