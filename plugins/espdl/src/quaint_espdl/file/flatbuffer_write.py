"""Dataclasses as the payload of an ``.espdl`` file; the same model gives the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np

from quaint_espdl.file.elements import Attribute, EspdlGraph, EspdlModel, EspdlNode, EspdlTensor, ValueInfo
from quaint_espdl.file.schema import (
    BLOCK,
    DIM_PARAMETER,
    DIM_VALUE,
    TENSOR_TAG,
    AttributeField,
    AttributeType,
    DimensionField,
    DimensionValueField,
    EntryField,
    GraphField,
    ModelField,
    NodeField,
    ShapeField,
    TensorField,
    TensorTypeField,
    TypeField,
    ValueInfoField,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def write_payload(model: EspdlModel) -> bytes:
    """Encode a model as a FlatBuffer.

    Returns:
        The file without its envelope; a multiple of 16 bytes, raw data at multiples of 16.

    Raises:
        TypeError: an attribute is not an :data:`~quaint_espdl.file.elements.Attribute`.
    """
    graph = model.graph
    tensors = (*graph.initializers, *graph.test_inputs, *graph.test_outputs)
    return _Writer(sum(len(tensor.raw) for tensor in tensors)).finish(model)


class _Offset(int):
    """Where an object lies in the builder's buffer."""


#: A field of a table: an object written before, or an inline number and its type; None leaves it out.
_Slot = _Offset | tuple[Any, int | float] | None

_INT32, _INT64, _UINT8, _FLOAT32 = (
    flatbuffers.number_types.Int32Flags,
    flatbuffers.number_types.Int64Flags,
    flatbuffers.number_types.Uint8Flags,
    flatbuffers.number_types.Float32Flags,
)


class _Writer:
    """Writes objects back to front, as FlatBuffers are: first what is pointed to, then what points."""

    def __init__(self, size_hint: int) -> None:
        self._builder = flatbuffers.Builder(2 * size_hint + 1024)
        self._builder.Prep(BLOCK, 0)  # the whole payload is aligned even if it holds no raw data
        self._infos: dict[ValueInfo, _Offset] = {}

    def finish(self, model: EspdlModel) -> bytes:
        self._builder.Finish(self._model(model))
        return bytes(self._builder.Output())

    def _model(self, model: EspdlModel) -> _Offset:
        entries = [
            self._table({EntryField.KEY: self._string(key), EntryField.VALUE: self._string(value)})
            for key, value in model.metadata.items()
        ]
        return self._table(
            {
                ModelField.IR_VERSION: (_INT32, model.ir_version),
                ModelField.OPSET_IMPORT: self._offsets([]),
                ModelField.PRODUCER_NAME: self._optional(model.producer_name),
                ModelField.PRODUCER_VERSION: self._optional(model.producer_version),
                ModelField.DOMAIN: self._optional(model.domain),
                ModelField.VERSION: (_INT64, model.model_version) if model.model_version else None,
                ModelField.DOC: self._optional(model.doc),
                ModelField.GRAPH: self._graph(model.graph),
                ModelField.METADATA: self._offsets(entries),
            }
        )

    def _graph(self, graph: EspdlGraph) -> _Offset:
        return self._table(
            {
                GraphField.NODES: self._each(self._node, graph.nodes),
                GraphField.NAME: self._string(graph.name),
                GraphField.INITIALIZERS: self._each(self._tensor, graph.initializers),
                GraphField.DOC: self._optional(graph.doc),
                GraphField.INPUTS: self._each(self._shared_value_info, graph.inputs),
                GraphField.OUTPUTS: self._each(self._shared_value_info, graph.outputs),
                GraphField.VALUE_INFO: self._each(self._shared_value_info, graph.value_info),
                GraphField.TEST_INPUTS: self._each(self._tensor, graph.test_inputs),
                GraphField.TEST_OUTPUTS: self._each(self._tensor, graph.test_outputs),
            }
        )

    def _node(self, node: EspdlNode) -> _Offset:
        return self._table(
            {
                NodeField.INPUTS: self._each(self._string, node.inputs),
                NodeField.OUTPUTS: self._each(self._string, node.outputs),
                NodeField.NAME: self._string(node.name),
                NodeField.OP_TYPE: self._string(node.op_type),
                NodeField.DOMAIN: self._optional(node.domain),
                NodeField.ATTRIBUTES: self._each(self._attribute, node.attributes.items()),
                NodeField.DOC: self._optional(node.doc),
            }
        )

    def _attribute(self, item: tuple[str, Attribute]) -> _Offset:
        name, value = item
        kind, field, slot = self._attribute_value(value)
        return self._table({AttributeField.NAME: self._string(name), AttributeField.TYPE: (_INT32, kind), field: slot})

    def _attribute_value(self, value: Attribute) -> tuple[AttributeType, AttributeField, _Slot]:
        match value:
            case int():
                return AttributeType.INT, AttributeField.I, (_INT64, value)
            case float():
                return AttributeType.FLOAT, AttributeField.F, (_FLOAT32, value)
            case str():
                text = _Offset(self._builder.CreateByteVector(value.encode()))
                return AttributeType.STRING, AttributeField.S, text
            case EspdlTensor():
                return AttributeType.TENSOR, AttributeField.T, self._tensor(value)
            case tuple() if all(isinstance(item, int) for item in value):
                return AttributeType.INTS, AttributeField.INTS, self._numbers(value, "<i8")
            case tuple() if all(isinstance(item, float) for item in value):
                return AttributeType.FLOATS, AttributeField.FLOATS, self._numbers(value, "<f4")
            case tuple() if all(isinstance(item, str) for item in value):
                return AttributeType.STRINGS, AttributeField.STRINGS, self._each(self._string, value)
            case _:
                raise TypeError(f"no attribute holds {value!r}")

    def _tensor(self, tensor: EspdlTensor) -> _Offset:
        return self._table(
            {
                TensorField.DIMS: self._numbers(tensor.dims, "<i8"),
                TensorField.DATA_TYPE: (_INT32, tensor.dtype),
                TensorField.NAME: self._string(tensor.name),
                TensorField.DOC: self._optional(tensor.doc),
                TensorField.RAW_DATA: self._blocks(tensor.raw),
                TensorField.EXPONENTS: self._numbers(tensor.exponents, "<i8"),
            }
        )

    def _shared_value_info(self, info: ValueInfo) -> _Offset:
        """The one copy of an info that the graph's inputs or outputs have in common with its variables."""
        if info not in self._infos:
            self._infos[info] = self._value_info(info)
        return self._infos[info]

    def _value_info(self, info: ValueInfo) -> _Offset:
        shape = self._table({ShapeField.DIMS: self._each(self._dimension, info.dims)})
        tensor = self._table({TensorTypeField.ELEMENT: (_INT32, info.dtype), TensorTypeField.SHAPE: shape})
        return self._table(
            {
                ValueInfoField.NAME: self._string(info.name),
                ValueInfoField.TYPE: self._table({TypeField.TAG: (_UINT8, TENSOR_TAG), TypeField.VALUE: tensor}),
                ValueInfoField.DOC: self._optional(info.doc),
                ValueInfoField.EXPONENTS: self._numbers(info.exponents, "<i8"),
            }
        )

    def _dimension(self, dim: int | str) -> _Offset:
        fields: dict[int, _Slot] = (
            {DimensionValueField.TYPE: (_UINT8, DIM_PARAMETER), DimensionValueField.PARAMETER: self._string(dim)}
            if isinstance(dim, str)
            else {DimensionValueField.TYPE: (_UINT8, DIM_VALUE), DimensionValueField.VALUE: (_INT64, dim)}
        )
        return self._table({DimensionField.VALUE: self._table(fields)})

    def _table(self, fields: dict[Any, _Slot]) -> _Offset:
        self._builder.StartObject(1 + max(fields))
        for field, slot in fields.items():
            if isinstance(slot, _Offset):
                self._builder.PrependUOffsetTRelativeSlot(field, slot, 0)
            elif slot is not None:
                # The struct of one number that an attribute holds has the bytes of the number itself.
                self._builder.PrependSlot(slot[0], field, slot[1], None)
        return _Offset(self._builder.EndObject())

    def _string(self, text: str) -> _Offset:
        return _Offset(self._builder.CreateSharedString(text))

    def _optional(self, text: str) -> _Offset | None:
        return self._string(text) if text else None

    def _each(self, write: Callable[[Any], _Offset], items: Iterable[Any]) -> _Offset:
        return self._offsets([write(item) for item in items])

    def _offsets(self, targets: Sequence[_Offset]) -> _Offset:
        self._builder.StartVector(4, len(targets), 4)
        for target in reversed(targets):
            self._builder.PrependUOffsetTRelative(target)
        return _Offset(self._builder.EndVector())

    def _numbers(self, values: Any, dtype: str) -> _Offset:
        return _Offset(self._builder.CreateNumpyVector(np.array(values, dtype)))

    def _blocks(self, raw: bytes) -> _Offset:
        count = -(-len(raw) // BLOCK)
        self._builder.StartVector(BLOCK, count, BLOCK)
        end = self._builder.head
        self._builder.head = end - count * BLOCK
        self._builder.Bytes[self._builder.head : end] = raw.ljust(count * BLOCK, b"\0")
        return _Offset(self._builder.EndVector())
