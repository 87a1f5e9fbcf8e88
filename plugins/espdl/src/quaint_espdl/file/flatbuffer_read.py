"""The payload of an ``.espdl`` file as dataclasses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from quaint_espdl.file.elements import Attribute, DataType, EspdlGraph, EspdlModel, EspdlNode, EspdlTensor, ValueInfo
from quaint_espdl.file.flatbuffer_view import I64, U8, Buffer, Table
from quaint_espdl.file.schema import (
    BLOCK,
    DIM_PARAMETER,
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
    from collections.abc import Callable, Iterable, Mapping, Sequence

_T = TypeVar("_T")

#: Limits of what NumPy (rank), the runtime (sizes are int32) and float32 (exponent, and its inverse) can express.
MAX_RANK, MAX_ELEMENTS, MAX_EXPONENT = 32, 2**31 - 1, 126


def read_payload(payload: bytes, where: str | None = None) -> EspdlModel:
    """Decode a FlatBuffer.

    Args:
        payload: the file without its envelope.
        where: name of the file, for messages.

    Raises:
        QuaintError: ``QM104``, it is truncated or corrupt, or holds what no layer of the runtime reads.
    """
    root = Buffer(payload, where).root()
    graph = root.table(ModelField.GRAPH)
    if graph is None:
        root.buffer.refuse("there is no graph")
    entries = ((e.string(EntryField.KEY), e.string(EntryField.VALUE)) for e in root.tables(ModelField.METADATA))
    return EspdlModel(
        graph=_graph(graph),
        metadata=_mapping(root, "metadata", entries),
        ir_version=root.integer(ModelField.IR_VERSION),
        producer_name=root.string(ModelField.PRODUCER_NAME),
        producer_version=root.string(ModelField.PRODUCER_VERSION),
        domain=root.string(ModelField.DOMAIN),
        model_version=root.integer(ModelField.VERSION, I64),
        doc=root.string(ModelField.DOC),
    )


def _graph(table: Table) -> EspdlGraph:
    def tensors(field: GraphField) -> tuple[EspdlTensor, ...]:
        return tuple(map(_tensor, table.tables(field)))

    def values(field: GraphField) -> tuple[ValueInfo, ...]:
        return tuple(map(_value_info, table.tables(field)))

    return EspdlGraph(
        name=table.string(GraphField.NAME),
        nodes=tuple(map(_node, table.tables(GraphField.NODES))),
        initializers=tensors(GraphField.INITIALIZERS),
        inputs=values(GraphField.INPUTS),
        outputs=values(GraphField.OUTPUTS),
        value_info=values(GraphField.VALUE_INFO),
        test_inputs=tensors(GraphField.TEST_INPUTS),
        test_outputs=tensors(GraphField.TEST_OUTPUTS),
        doc=table.string(GraphField.DOC),
    )


def _node(table: Table) -> EspdlNode:
    name = table.string(NodeField.NAME)
    attributes = ((a.string(AttributeField.NAME), _attribute(a)) for a in table.tables(NodeField.ATTRIBUTES))
    return EspdlNode(
        name=name,
        op_type=table.string(NodeField.OP_TYPE),
        inputs=table.strings(NodeField.INPUTS),
        outputs=table.strings(NodeField.OUTPUTS),
        attributes=_mapping(table, f"attributes of {name!r}", attributes),
        domain=table.string(NodeField.DOMAIN),
        doc=table.string(NodeField.DOC),
    )


def _attribute(table: Table) -> Attribute:
    kind = table.integer(AttributeField.TYPE)
    if kind not in _ATTRIBUTE:
        table.buffer.refuse(f"attribute {table.string(AttributeField.NAME)!r} has unknown type {kind}")
    return _ATTRIBUTE[AttributeType(kind)](table)


def _text(table: Table) -> str:
    try:
        return table.data(AttributeField.S).decode()
    except UnicodeDecodeError:
        table.buffer.refuse(f"attribute {table.string(AttributeField.NAME)!r} is not UTF-8")


def _tensor_attribute(table: Table) -> EspdlTensor:
    tensor = table.table(AttributeField.T)
    if tensor is None:
        table.buffer.refuse(f"attribute {table.string(AttributeField.NAME)!r} has no tensor")
    return _tensor(tensor)


_ATTRIBUTE: Mapping[AttributeType, Callable[[Table], Attribute]] = {
    AttributeType.FLOAT: lambda table: table.float32(AttributeField.F),
    AttributeType.INT: lambda table: table.integer(AttributeField.I, I64),
    AttributeType.STRING: _text,
    AttributeType.TENSOR: _tensor_attribute,
    AttributeType.FLOATS: lambda table: tuple(table.numbers(AttributeField.FLOATS, "<f4").tolist()),
    AttributeType.INTS: lambda table: _integers(table, AttributeField.INTS),
    AttributeType.STRINGS: lambda table: table.strings(AttributeField.STRINGS),
}


def _tensor(table: Table) -> EspdlTensor:
    """A tensor; its data may be longer than its dims say (it comes in blocks of 16 bytes), never shorter."""
    name = table.string(TensorField.NAME)
    dims = _integers(table, TensorField.DIMS)
    dtype = _data_type(table, table.integer(TensorField.DATA_TYPE), name)
    _check_shape(table, name, dims)
    declared, stored = math.prod(dims) * dtype.numpy.itemsize, table.data(TensorField.RAW_DATA, BLOCK)
    if len(stored) < declared:
        table.buffer.refuse(f"tensor {name!r} declares {declared} bytes and has {len(stored)}")
    return EspdlTensor(
        name,
        dims,
        dtype,
        stored[:declared],
        _exponents(table, TensorField.EXPONENTS, name),
        table.string(TensorField.DOC),
    )


def _value_info(table: Table) -> ValueInfo:
    name = table.string(ValueInfoField.NAME)
    kind = table.table(ValueInfoField.TYPE)
    tensor = None if kind is None or kind.integer(TypeField.TAG, U8) != TENSOR_TAG else kind.table(TypeField.VALUE)
    if tensor is None:
        table.buffer.refuse(f"variable {name!r} is not a tensor")
    shape = tensor.table(TensorTypeField.SHAPE)
    dims = () if shape is None else tuple(map(_dimension, shape.tables(ShapeField.DIMS)))
    _check_shape(table, name, [dim for dim in dims if isinstance(dim, int)])
    return ValueInfo(
        name=name,
        dims=dims,
        dtype=_data_type(table, tensor.integer(TensorTypeField.ELEMENT), name),
        exponents=_exponents(table, ValueInfoField.EXPONENTS, name),
        doc=table.string(ValueInfoField.DOC),
    )


def _dimension(table: Table) -> int | str:
    value = table.table(DimensionField.VALUE)
    if value is None:
        return ""
    if value.integer(DimensionValueField.TYPE, U8) == DIM_PARAMETER:
        return value.string(DimensionValueField.PARAMETER)
    return value.integer(DimensionValueField.VALUE, I64)


def _data_type(table: Table, number: int, name: str) -> DataType:
    try:
        return DataType(number)
    except ValueError:
        table.buffer.refuse(f"{name!r} has unknown data type {number}")


def _exponents(table: Table, field: int, name: str) -> tuple[int, ...]:
    exponents = _integers(table, field)
    if any(abs(exponent) > MAX_EXPONENT for exponent in exponents):
        table.buffer.refuse(f"{name!r} has an exponent that no float32 has")
    return exponents


def _integers(table: Table, field: int) -> tuple[int, ...]:
    return tuple(table.numbers(field, "<i8").tolist())


def _mapping(table: Table, what: str, items: Iterable[tuple[str, _T]]) -> dict[str, _T]:
    mapping: dict[str, _T] = {}
    for key, value in items:
        if key in mapping:
            table.buffer.refuse(f"{what}: {key!r} occurs twice")
        mapping[key] = value
    return mapping


def _check_shape(table: Table, name: str, dims: Sequence[int]) -> None:
    if len(dims) > MAX_RANK:
        table.buffer.refuse(f"{name!r} has {len(dims)} dimensions")
    if min(dims, default=0) < 0 or math.prod(max(dim, 1) for dim in dims) > MAX_ELEMENTS:
        table.buffer.refuse(f"{name!r} has dims {list(dims)}")
