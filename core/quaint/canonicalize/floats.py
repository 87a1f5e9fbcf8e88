"""One floating-point type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

if TYPE_CHECKING:
    from quaint.graph import GraphEditor

_OTHER_FLOATS = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE})
#: Attributes that hold an element type.
_TYPE_ATTRIBUTES = frozenset({"to", "dtype", "stash_type", "output_datatype"})


def unify_floats(editor: GraphEditor) -> bool:
    """Turn float16, bfloat16 and double values, constants and casts into float32.

    Ensures: float32 is the only type of floats wider than 8 bits; a double that float32 cannot hold is the largest
    finite float32.
    """
    changed = False
    for graph in (editor.graph, *editor.graph.subgraphs()):
        for value in graph.initializers.values():
            if value.const_value is not None and value.const_value.dtype in _OTHER_FLOATS:
                value.const_value = _as_float32(value.const_value)
                changed = True
        for value in (*graph.inputs, *graph.initializers.values(), *(out for node in graph for out in node.outputs)):
            if isinstance(value.type, ir.TensorType) and value.dtype in _OTHER_FLOATS:
                value.type = ir.TensorType(ir.DataType.FLOAT)
                changed = True
        for node in graph:
            for attr in tuple(node.attributes.values()):
                unified = _unified(attr)
                if unified is not None:
                    node.attributes[attr.name] = unified
                    changed = True
    return changed


def _as_float32(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """The values of ``tensor``, each rounded once."""
    limit = np.finfo(np.float32)
    array = tensor.numpy()
    if array.dtype == np.float64:
        array = np.where(np.isfinite(array), np.clip(array, limit.min, limit.max), array)
    return ir.Tensor(array.astype(np.float32), name=tensor.name)


def _unified(attr: ir.Attr) -> ir.Attr | None:
    """``attr`` with float32 in the place of another float type, or None if it names and holds none."""
    if attr.is_ref():
        return None
    if attr.type == ir.AttributeType.INT and attr.name in _TYPE_ATTRIBUTES and attr.value in _OTHER_FLOATS:
        return ir.AttrInt64(attr.name, int(ir.DataType.FLOAT))
    if attr.type == ir.AttributeType.TENSOR and attr.as_tensor().dtype in _OTHER_FLOATS:
        return ir.AttrTensor(attr.name, _as_float32(attr.as_tensor()))
    return None
