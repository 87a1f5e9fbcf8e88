"""From a Keras configuration and weights to an ONNX model."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from quaint.errors import QuaintError
from quaint.frontends.keras.config import Entry, evaluate, input_layers, kind, layers, leaves, name_of, references
from quaint.frontends.keras.emit import OPSET, Emitter, Layer, Tensor
from quaint.frontends.keras.layers import LAYERS
from quaint.frontends.keras.offered import find, offered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.frontends.keras.weights import Weights

#: Layers that are nothing at inference.
IDENTITIES = frozenset({
    "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "AlphaDropout", "GaussianDropout",
    "GaussianNoise", "ActivityRegularization", "InputLayer", "Identity", "RandomFlip", "RandomRotation",
    "RandomTranslation", "RandomZoom", "RandomContrast", "RandomBrightness",
})  # fmt: skip
_CODE = frozenset({"Lambda", "TorchModuleWrapper", "FlaxLayer", "JaxLayer"})
_IR_VERSION = 10  # the first that may hold opset 21
_INTEGERS = {"uint8", "int8", "uint16", "int16", "int32", "int64"}
_FLOATS = {"float16", "bfloat16", "float32", "float64"}


def check(model: Entry) -> None:
    """Refuse a model with layers that have no translation, all at once.

    Raises:
        QuaintError: QM122 no input shape; QM150 unknown layers; QM170 quantized layers; QM190 layers that are code.
    """
    found = [("/".join(path), entry) for path, entry in leaves(model)]
    code = [f"{path} ({kind(entry)})" for path, entry in found if kind(entry) in _CODE or _has_lambda(entry)]
    if code:
        hint = "replace them by layers, or export the model to ONNX where it was made"
        raise QuaintError("QM190", "layers that are Python code are not run", where=code[0], hint=hint, details=code)
    for path, entry in found:
        dtype = entry["config"].get("dtype")
        if isinstance(dtype, dict) and "Quantized" in str(dtype.get("class_name")):
            raise QuaintError("QM170", "the model is already quantized", where=path, hint="give the float model")
    known = LAYERS.keys() | IDENTITIES | offered()
    unknown = [f"{path} ({kind(entry)})" for path, entry in found if kind(entry) not in known]
    if unknown:
        hint = "replace them by supported layers, or export the model to ONNX"
        what = f"{len(unknown)} layer{'s' * (len(unknown) > 1)} without a translation"
        raise QuaintError("QM150", what, where=unknown[0], hint=hint, details=unknown)
    input_layers(model)


def _has_lambda(entry: Entry) -> bool:
    """Whether a layer's activation is a Python lambda: its code, from memory without a class."""
    function = entry["config"].get("activation")
    return isinstance(function, dict) and function.get("class_name", "__lambda__") == "__lambda__"


def convert(model: Entry, weights: Weights, version: int) -> ir.Model:
    """The ONNX model, shapes inferred.

    Args:
        model: the configuration of a model that `check` admits.
        weights: of its layers.
        version: major version of Keras that wrote the configuration.

    Raises:
        QuaintError: QM120, QM121 layers that are joined wrongly; QM150 a setting of a layer that has no translation.
    """
    emit = Emitter()
    calls: Counter[str] = Counter()

    def call(path: tuple[str, ...], entry: Entry, operands: Sequence[Tensor | float]) -> Tensor:
        name = "/".join(path)
        inputs = [emit.number(f"{name}/number", x) if isinstance(x, float) else x for x in operands]
        if kind(entry) in IDENTITIES:
            return inputs[0]
        calls[name] += 1
        unique = name if calls[name] == 1 else f"{name}_{calls[name] - 1}"
        layer = Layer(unique, name, kind(entry), dict(entry["config"]), dict(weights.get(path, {})), version)
        theirs = find(layer.kind)
        translate = LAYERS[layer.kind] if theirs is None else theirs.translate
        return translate(emit, layer, inputs)

    inputs = [_input(emit, *specification) for specification in input_layers(model)]
    tensors = evaluate(model, [_to_float(emit, value) for value in inputs], call)
    outputs: list[ir.Value] = []
    for name, tensor in zip(_output_names(model), tensors, strict=True):
        outputs.append(_output(emit, name, emit.last(tensor), [*inputs, *outputs]))
    initializers = list(emit.initializers.values())
    opsets = {"": OPSET}
    graph = ir.Graph(inputs, outputs, nodes=emit.nodes, initializers=initializers, opset_imports=opsets)
    graph.name = str(model["config"]["name"])
    return ShapeInferencePass()(ir.Model(graph, ir_version=_IR_VERSION, producer_name="quaint")).model


def _input(emit: Emitter, name: str, shape: Sequence[int | None], dtype: str) -> ir.Value:
    """A graph input; unknown sizes become names, which differ but for the batch."""
    if dtype not in _INTEGERS | _FLOATS:
        raise QuaintError("QM152", f"inputs of type {dtype} are not supported", where=name)
    sizes = [
        "batch" if axis == 0 and n is None else f"{name}_{axis}" if n is None else n for axis, n in enumerate(shape)
    ]
    onnx_type = ir.DataType[dtype.upper()] if dtype in _INTEGERS else ir.DataType.FLOAT
    return ir.Value(name=emit.unique(name), type=ir.TensorType(onnx_type), shape=ir.Shape(sizes))


def _to_float(emit: Emitter, value: ir.Value) -> Tensor:
    assert value.shape is not None
    rank = value.shape.rank()
    if value.dtype == ir.DataType.FLOAT:
        return Tensor(rank, last=value)
    return Tensor(rank, last=emit.node("Cast", f"{value.name}/cast", [value], to=ir.DataType.FLOAT))


def _output_names(model: Entry) -> list[str]:
    if kind(model) == "Sequential":
        return [name_of(layers(model)[-1])]
    return [name for name, _, _ in references(model["config"]["output_layers"])]


def _output(emit: Emitter, name: str, value: ir.Value, taken: Sequence[ir.Value]) -> ir.Value:
    """``value`` under the name of the layer that gives it; a copy where it is an input or another output already."""
    if any(value is other for other in taken):
        value = emit.node("Identity", f"{name}/output", [value])
    if value.name != name and all(name != other.name for other in taken):
        for node in emit.nodes:
            if node.outputs[0].name == name:  # the layer's own node, before its activation or transposition
                node.outputs[0].name = emit.unique(f"{name}/inner")
        value.name = name
    return value
