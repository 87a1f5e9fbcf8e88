"""Quantized models as ONNX files that onnxruntime runs without Quaint, and that hold all of the integer model.

A node is a layer: its domain is the model's (``quaint.<plugin>``), its inputs are tensors and then constants by name, its body
is a model-local function of stock operators. Integer tensors have the storage type of the chip's integers between layers, and
constants are initializers in the narrowest type that holds them. What ONNX has no place for stands as JSON in the metadata of
the model (``quaint.model``: tensors and shapes) and of each node (``quaint.layer``: kernel, attributes, types of constants).
The outputs are those of the model, and then the integers that they are made of.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from quaint.errors import QuaintError
from quaint.integer import HOST
from quaint.simulators.saved_reading import FORMAT, LAYER_KEY, MODEL_KEY, from_onnx
from quaint.simulators.tracing_edges import stored_type
from quaint.simulators.tracing_functions import trace
from quaint.simulators.tracing_graph import IR_VERSION, OPSET, Untraceable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from quaint.arithmetic import Kernel
    from quaint.integer import IntegerModel, Layer
    from quaint.simulators.tracing_functions import Body

__all__ = ["from_onnx", "to_bytes", "to_onnx"]

_NARROW = tuple(np.dtype(name) for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"))


def to_bytes(model: IntegerModel, kernels: Mapping[str, Kernel], metadata: Mapping[str, str]) -> bytes:
    """``to_onnx`` as the bytes of a file; the same model gives the same bytes."""
    return bytes(to_onnx(model, kernels, metadata).SerializeToString(deterministic=True))


def to_onnx(model: IntegerModel, kernels: Mapping[str, Kernel], metadata: Mapping[str, str]) -> onnx.ModelProto:
    """``model`` as an ONNX model.

    Args:
        model: what to save.
        kernels: the definition of every ``op`` in it.
        metadata: further properties of the file, by key.

    Raises:
        QuaintError: QT350 if a layer has no exact form in ONNX.
    """
    functions = _Functions(model.domain)
    constants = _Constants({*model.inputs, *(name for layer in model.layers for name in layer.outputs)})
    nodes = []
    for index, layer in enumerate(model.layers):
        name = layer.name or f"{layer.op}_{index}"
        body = _body(model, layer, kernels, name)
        stored = [constants.add(layer, key, array) for key, array in layer.constants.items()]
        inputs, function = [*layer.inputs, *stored], functions.named(layer.op, body)
        nodes.append(helper.make_node(function, inputs, layer.outputs, name, domain=model.domain))
        _annotate(nodes[-1], {LAYER_KEY: _layer_json(layer)})
    outputs = tuple(dict.fromkeys((*model.outputs, *model.integer_outputs)))
    inner = [name for layer in model.layers for name in layer.outputs if name not in outputs]
    types = _host_types(model)
    edges = [[_value(model, name, types) for name in names] for names in (model.inputs, outputs, inner)]
    graph = helper.make_graph(
        nodes, model.name or "model", edges[0], edges[1], constants.initializers, value_info=edges[2]
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(model.domain, 1)]
    proto = helper.make_model(
        graph, opset_imports=opsets, functions=functions.protos, ir_version=IR_VERSION, producer_name="quaint"
    )
    _annotate(proto, {**metadata, MODEL_KEY: _model_json(model)})
    return proto


def _body(model: IntegerModel, layer: Layer, kernels: Mapping[str, Kernel], name: str) -> Body:
    try:
        return trace(model, layer, kernels[layer.op])
    except Untraceable as error:
        hint = "the simulator 'reference' runs it"
        raise QuaintError("QT350", f"cannot be saved as ONNX: {error}", where=f"layer '{name}'", hint=hint) from error


class _Functions:
    """Model-local functions: one for each distinct body, named after the operation."""

    def __init__(self, domain: str) -> None:
        self._domain = domain
        self._names: dict[bytes, str] = {}
        self.protos: list[onnx.FunctionProto] = []

    def named(self, op: str, body: Body) -> str:
        """The name of the function with this body."""
        base = "".join(part.capitalize() for part in op.split("_"))
        content = base.encode() + b"\0" + body.function(self._domain, base).SerializeToString(deterministic=True)
        if content not in self._names:
            taken = sum(name == base or name.startswith(f"{base}_") for name in self._names.values())
            self._names[content] = f"{base}_{taken + 1}" if taken else base
            self.protos.append(body.function(self._domain, self._names[content]))
        return self._names[content]


class _Constants:
    """Initializers, named after the tensor that their layer makes."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self.initializers: list[TensorProto] = []

    def add(self, layer: Layer, key: str, array: NDArray[Any]) -> str:
        """Store a constant of a layer; returns the name."""
        name = f"{layer.outputs[0]}.{key}"
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        self.initializers.append(numpy_helper.from_array(_narrowed(array), name))
        return name


def _narrowed(array: NDArray[Any]) -> NDArray[Any]:
    """Integers in the narrowest type that holds them."""
    if array.dtype.kind not in "iu" or not array.size:
        return array
    low, high = int(array.min()), int(array.max())
    return array.astype(next(t for t in _NARROW if np.iinfo(t).min <= low and high <= np.iinfo(t).max))


def _host_types(model: IntegerModel) -> dict[str, int]:
    """ONNX's number of the type of each tensor that layers on the host give: indices and truth values are no floats."""
    return {
        value.name: value.type.tensor_type.elem_type
        for layer in model.layers
        if layer.op == HOST
        for value in onnx.load_model_from_string(layer.constants["model"].tobytes()).graph.output
    }


def _value(model: IntegerModel, name: str, types: Mapping[str, int]) -> onnx.ValueInfoProto:
    kind = types.get(name) or stored_type(model, name)
    return helper.make_tensor_value_info(name, kind, ["N" if size is None else size for size in model.shapes[name]])


def _annotate(proto: onnx.ModelProto | onnx.NodeProto, properties: Mapping[str, str]) -> None:
    for key, value in sorted(properties.items()):
        proto.metadata_props.add(key=key, value=value)


def _json(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), default=lambda number: number.item())


def _layer_json(layer: Layer) -> str:
    return _json(
        {
            "op": layer.op,
            "name": layer.name,
            "nodes": layer.nodes,
            "attributes": layer.attributes,
            "constants": {key: str(array.dtype) for key, array in layer.constants.items()},
        }
    )


def _model_json(model: IntegerModel) -> str:
    return _json(
        {
            "format": FORMAT,
            "name": model.name,
            "inputs": model.inputs,
            "outputs": model.outputs,
            "domain": model.domain,
            "tensors": {name: params.to_dict() for name, params in model.tensors.items()},
            "shapes": {name: shape for name, shape in model.shapes.items() if shape is not None},
        }
    )
