"""Reads saved quantized models back; nothing in a file is trusted."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, numpy_helper

from quaint.errors import QuaintError
from quaint.integer import IntegerModel, Layer
from quaint.numerics import QuantParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx
    from numpy.typing import NDArray

    Shape = tuple[int | None, ...]

#: Keys of the metadata, and the version of what they hold.
MODEL_KEY, LAYER_KEY, FORMAT = "quaint.model", "quaint.layer", 1

#: Characters of JSON that are read: the parameters of a million channels, a layer's attributes.
_MODEL_LIMIT, _LAYER_LIMIT = 1 << 26, 1 << 22

#: Elements of a shape, entries of a shape.
_LARGEST_AXIS, _MOST_AXES = 1 << 40, 16


def from_onnx(proto: onnx.ModelProto) -> tuple[IntegerModel, dict[str, str]]:
    """The integer model of a saved file, and the file's further properties.

    The functions in the file are not looked at: what a layer computes is what its kernel defines.

    Raises:
        QuaintError: QM105 if the file is not what ``to_onnx`` writes.
    """
    properties = {entry.key: entry.value for entry in proto.metadata_props}
    where = f"model '{proto.graph.name}'"
    facts = _Facts(_parsed(properties.pop(MODEL_KEY, None), MODEL_KEY, _MODEL_LIMIT, where), where)
    if facts.get("format", int) != FORMAT:
        raise _wrong(f"format {facts.get('format', int)} instead of {FORMAT}", where)
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    model = IntegerModel(
        facts.get("name", str),
        facts.names("inputs"),
        facts.names("outputs"),
        tuple(_layer(node, constants) for node in proto.graph.node),
        {name: _params(data, f"tensor '{name}'") for name, data in facts.get("tensors", dict).items()},
        {name: _shape(data, f"tensor '{name}'") for name, data in facts.get("shapes", dict).items()},
        facts.get("domain", str),
    )
    _check_edges(model, where)
    return model, properties


def _wrong(what: str, where: str) -> QuaintError:
    return QuaintError("QM105", f"damaged quantized model: {what}", where=where, hint="quantize the float model again")


def _parsed(text: str | None, key: str, limit: int, where: str) -> Any:
    if text is None:
        raise _wrong(f"no property '{key}'", where)
    if len(text) > limit:
        raise _wrong(f"property '{key}' of {len(text)} characters, more than {limit}", where)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(f"property '{key}' is not JSON ({type(error).__name__})", where) from None


class _Facts:
    """A JSON object of which each entry is checked when it is read."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, dict):
            raise _wrong("an object expected", where)
        self._data, self._where = data, where

    def get(self, key: str, kind: type) -> Any:
        """An entry of a type."""
        value = self._data.get(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise _wrong(f"'{key}' should be {kind.__name__}, not {type(value).__name__}", self._where)
        return value

    def names(self, key: str) -> tuple[str, ...]:
        """An entry that lists names."""
        names = self.get(key, list)
        if not all(isinstance(name, str) for name in names):
            raise _wrong(f"'{key}' should be a list of names", self._where)
        return tuple(names)


def _params(data: Any, where: str) -> QuantParams:
    try:
        return QuantParams.from_dict(data)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise _wrong(f"quantization parameters: {error}", where) from None


def _shape(data: Any, where: str) -> Shape:
    sizes = data if isinstance(data, list) and len(data) <= _MOST_AXES else [-1]
    for size in sizes:
        if size is not None and not (type(size) is int and 0 <= size <= _LARGEST_AXIS):
            raise _wrong("not a shape", where)
    return tuple(sizes)


def _layer(node: onnx.NodeProto, tensors: dict[str, TensorProto]) -> Layer:
    where = f"layer '{node.name}'"
    text = next((entry.value for entry in node.metadata_props if entry.key == LAYER_KEY), None)
    facts = _Facts(_parsed(text, LAYER_KEY, _LAYER_LIMIT, where), where)
    types = facts.get("constants", dict)
    first = len(node.input) - len(types)
    stored = node.input[max(first, 0) :]
    if first < 0 or any(name not in tensors for name in stored):
        raise _wrong("a constant is missing", where)
    constants = {
        key: _constant(tensors[name], kind, where) for (key, kind), name in zip(types.items(), stored, strict=True)
    }
    attributes = facts.get("attributes", dict)
    _check_plain(list(attributes.values()), where)
    return Layer(
        facts.get("op", str),
        tuple(node.input[:first]),
        tuple(node.output),
        constants,
        attributes,
        facts.get("name", str),
        facts.names("nodes"),
    )


def _constant(tensor: TensorProto, kind: Any, where: str) -> NDArray[Any]:
    """A constant in the type that the layer had it in; only what the file itself holds is read."""
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise _wrong(f"constant '{tensor.name}' in another file", where)
    if kind not in {*(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "float32", "bool"}:
        raise _wrong(f"constant '{tensor.name}' of type {kind!r}", where)
    size = math.prod(tensor.dims)
    if any(dim < 0 for dim in tensor.dims) or size * np.dtype(kind).itemsize > 8 * (tensor.ByteSize() + 8):
        raise _wrong(f"constant '{tensor.name}' has less data than its shape", where)
    try:
        array = numpy_helper.to_array(tensor)
    except Exception as error:  # noqa: BLE001 - whatever a malformed tensor raises
        raise _wrong(f"constant '{tensor.name}' ({type(error).__name__})", where) from None
    made = array.astype(kind)
    if array.dtype.kind not in "iufb" or not np.array_equal(made, array, equal_nan=array.dtype.kind == "f"):
        raise _wrong(f"constant '{tensor.name}' does not fit {kind}", where)
    return made


def _check_plain(values: Sequence[Any], where: str) -> None:
    """Attributes are scalars and lists."""
    for value in values:
        if isinstance(value, list):
            _check_plain(value, where)
        elif not isinstance(value, str | int | float | bool):
            raise _wrong(f"an attribute of type {type(value).__name__}", where)


def _check_edges(model: IntegerModel, where: str) -> None:
    """Every tensor is made once, before it is used, and has a shape."""
    known = set(model.inputs)
    for layer in model.layers:
        if missing := [name for name in layer.inputs if name not in known]:
            raise _wrong(f"tensor '{missing[0]}' is used before it is made", f"layer '{layer.name}'")
        if twice := [name for name in layer.outputs if name in known]:
            raise _wrong(f"tensor '{twice[0]}' is made twice", f"layer '{layer.name}'")
        known.update(layer.outputs)
    for name in (*model.outputs, *known):
        if name not in known or name not in model.shapes:
            raise _wrong(f"tensor '{name}' is missing", where)
