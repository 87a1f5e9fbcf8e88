"""A parsed ONNX file before anything is built from it: sizes in Python integers, data where it is said to be."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from quaint.errors import QuaintError
from quaint.frontends.onnx_external import read_external

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from quaint.frontends.limits import Limits

_GraphLike = onnx.GraphProto | onnx.FunctionProto

#: The field of a TensorProto that holds a dtype where ``raw_data`` does not, and fields per element (onnx.proto).
_TYPED_FIELDS: dict[int, tuple[str, int]] = {
    onnx.TensorProto.FLOAT: ("float_data", 1),
    onnx.TensorProto.COMPLEX64: ("float_data", 2),
    onnx.TensorProto.DOUBLE: ("double_data", 1),
    onnx.TensorProto.COMPLEX128: ("double_data", 2),
    onnx.TensorProto.INT64: ("int64_data", 1),
    onnx.TensorProto.UINT32: ("uint64_data", 1),
    onnx.TensorProto.UINT64: ("uint64_data", 1),
}
_FIELDS = {"int32_data", *(field for field, _ in _TYPED_FIELDS.values())}


def screen(proto: onnx.ModelProto, folder: Path | None, limits: Limits, where: str) -> None:
    """Check what a hostile or broken file could claim, and load external data into ``proto``.

    Args:
        proto: the parsed model; changed in place.
        folder: where external data may be; None for a model that came without a folder.
        limits: what the model may claim.
        where: the model's name, for messages.

    Raises:
        QuaintError: QM111, QM123, QM130 to QM132, QM140 to QM145, QM152, QM153, QM160.
    """
    if not proto.opset_import:
        raise QuaintError("QM111", "the model does not say its opset", where=where, hint="export it again")
    if not proto.ir_version:
        raise QuaintError("QM111", "the model does not say its ir_version", where=where, hint="export it again")
    total = 0
    for graph, depth in _graphs(proto):
        limits.check_depth(depth, where)
        _check_text(graph, where)
        _check_names(graph, where)
        for name, tensor in _tensors(graph, where):
            total += _declared_bytes(tensor, name, limits, where)
            limits.check_model(total, where)
            screen_tensor(tensor, name, folder, limits, where)


def _graphs(proto: onnx.ModelProto) -> Iterator[tuple[_GraphLike, int]]:
    """Every graph and function body, with its depth; iterative, since depth is the file's to choose."""
    stack: list[tuple[_GraphLike, int]] = [(proto.graph, 0), *((function, 0) for function in proto.functions)]
    while stack:
        graph, depth = stack.pop()
        yield graph, depth
        for attribute in _attributes(graph):
            stack.extend((inner, depth + 1) for inner in attribute.graphs)
            if attribute.HasField("g"):
                stack.append((attribute.g, depth + 1))


def _attributes(graph: _GraphLike) -> Iterator[onnx.AttributeProto]:
    for node in graph.node:
        yield from node.attribute
    if isinstance(graph, onnx.FunctionProto):
        yield from graph.attribute_proto


def _tensors(graph: _GraphLike, where: str) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Every tensor of ``graph``, without the graphs inside it, and how messages call it."""
    if isinstance(graph, onnx.GraphProto):
        if graph.sparse_initializer:
            name = graph.sparse_initializer[0].values.name
            raise QuaintError("QM152", f"tensor {name!r} is sparse, which is not supported", where=where)
        yield from ((f"tensor {tensor.name!r}", tensor) for tensor in graph.initializer)
    for node in graph.node:
        owner = f"of node {node.name or ', '.join(node.output)!r}"
        for attribute in node.attribute:
            yield from ((f"tensor {attribute.name!r} {owner}", tensor) for tensor in _values(attribute, where))
    if isinstance(graph, onnx.FunctionProto):
        for attribute in graph.attribute_proto:
            owner = f"of function {graph.name!r}"
            yield from ((f"tensor {attribute.name!r} {owner}", tensor) for tensor in _values(attribute, where))


def _values(attribute: onnx.AttributeProto, where: str) -> Iterator[onnx.TensorProto]:
    if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
        raise QuaintError("QM152", f"attribute {attribute.name!r} is sparse, which is not supported", where=where)
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors


def _check_text(graph: _GraphLike, where: str) -> None:
    """Refuse names that are no text (QM104): the parser leaves them as bytes, which nothing else expects."""
    texts = [graph.name]
    if isinstance(graph, onnx.FunctionProto):
        texts += [graph.domain, graph.overload, *graph.input, *graph.output]
    else:
        values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
        texts += [value.name for value in values]
    for node in graph.node:
        texts += [node.name, node.op_type, node.domain, node.overload, *node.input, *node.output]
    texts += [text for attribute in _attributes(graph) for text in (attribute.name, attribute.ref_attr_name)]
    broken = next((text for text in texts if isinstance(text, bytes)), None)
    if broken is not None:
        raise QuaintError("QM104", f"the model is corrupt: the name {broken!r} is not UTF-8", where=where)


def _check_names(graph: _GraphLike, where: str) -> None:
    """Every tensor is given a value once (QM123); an initializer may be the default of an input."""
    if isinstance(graph, onnx.FunctionProto):
        inputs: Sequence[str] = graph.input
        initializers: Sequence[str] = ()
    else:
        inputs = [value.name for value in graph.input]
        initializers = [tensor.name for tensor in graph.initializer]
    for what, names in (("an input", inputs), ("an initializer", initializers)):
        name, times = next(iter(Counter(names).most_common(1)), ("", 0))
        if times > 1:
            raise QuaintError("QM123", f"tensor {name!r} is {what} {times} times", where=where)
    producers = dict.fromkeys(initializers, "an initializer") | dict.fromkeys(inputs, "an input")
    for node in graph.node:
        for output in filter(None, node.output):
            producer = f"output of node {node.name!r} ({node.op_type})"
            if output in producers:
                what = f"tensor {output!r} has two producers: {producers[output]} and {producer}"
                raise QuaintError("QM123", what, where=where)
            producers[output] = producer


def _declared_bytes(tensor: onnx.TensorProto, name: str, limits: Limits, where: str) -> int:
    """The size that dims and dtype of ``tensor`` call for."""
    dims = list(tensor.dims)
    if tensor.data_type == onnx.TensorProto.STRING:
        raise QuaintError("QM152", f"{name} holds strings, which are not supported", where=where)
    try:
        bits = ir.DataType(tensor.data_type).bitwidth
    except (ValueError, TypeError) as error:
        raise QuaintError("QM160", f"{name} has the unknown dtype {tensor.data_type}", where=where) from error
    if min(dims, default=0) < 0:
        raise QuaintError("QM132", f"{name} has the shape {dims} with a negative dimension", where=where)
    # Empty vectors stand for "none" (the roi of Resize, the axes of Squeeze); an empty matrix is a mistake.
    if 0 in dims and len(dims) > 1:
        raise QuaintError("QM132", f"{name} has the shape {dims} and so no elements", where=where)
    nbytes: int = -(-math.prod(dims) * bits // 8)
    limits.check_tensor(nbytes, f"{name} of shape {dims}", where)
    return nbytes


def screen_tensor(tensor: onnx.TensorProto, name: str, folder: Path | None, limits: Limits, where: str) -> None:
    """Check that ``tensor`` holds what its shape and dtype call for; external data is read into it.

    Args:
        tensor: changed in place.
        name: how messages call it.
        folder: where external data may be; None for a model that came without a folder.
        limits: what the model may claim.
        where: the model's name, for messages.
    """
    nbytes = _declared_bytes(tensor, name, limits, where)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        if any(isinstance(text, bytes) for entry in entries.items() for text in entry):
            raise QuaintError("QM145", f"external data of {name} is described by what is no text", where=where)
        data = read_external(entries, nbytes, folder, name, limits, where)
        for field in ("external_data", "data_location", *_FIELDS):
            tensor.ClearField(field)
        tensor.raw_data = data
        return
    if tensor.HasField("raw_data"):
        actual, unit, expected = len(tensor.raw_data), "bytes", nbytes
    else:
        field, each = _TYPED_FIELDS.get(tensor.data_type, ("int32_data", 1))
        count, bits = math.prod(tensor.dims), ir.DataType(tensor.data_type).bitwidth
        # 2-bit and 4-bit values are packed into bytes also here; 6-bit ones are not.
        expected = nbytes if bits in (2, 4) else count * each
        actual, unit = len(getattr(tensor, field)), "values"
        if any(len(getattr(tensor, other)) for other in _FIELDS - {field}):
            raise QuaintError("QM130", f"{name} holds values of another dtype too", where=where)
    if actual != expected:
        what = f"{name} of shape {list(tensor.dims)} declares {expected} {unit} but holds {actual}"
        raise QuaintError("QM130", what, where=where, hint="the file is damaged or was edited by hand: export it again")
