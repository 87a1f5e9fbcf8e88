"""An integer model, or a part of it, in BrainChip's ``akida`` package: built through its public API alone.

The package is proprietary and no part of this plugin: whoever installs it accepts BrainChip's licence.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.errors import QuaintError
from quaint.integer import DEQUANTIZER, EDGE_LAYERS, INPUT_QUANTIZER, MOVES
from quaint_akida import runtime_layers1, runtime_layers2
from quaint_akida.runtime_layers import VendorLayer, map_shape, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

    from quaint.integer import IntegerModel, Layer
    from quaint.numerics import IntType

LAYERS = runtime_layers1.LAYERS | runtime_layers2.LAYERS
#: Layers that take 8-bit images; nothing else takes unsigned integers of 8 bits.
IMAGE_LAYERS = ("InputConv2D", "InputConvolutional")
#: Arguments that are members of enumerations, which a :class:`VendorLayer` gives by name.
ENUMERATIONS = {"padding": "Padding", "pool_type": "PoolType", "activation": "ActivationType"}
INSTALL = 'get it with pip install "quaint-akida[runtime]"; it is proprietary, and installing it you accept its licence'


def runtime() -> ModuleType:
    """The ``akida`` package.

    Raises:
        QuaintError: QP530 where it is not installed.
    """
    try:
        found = importlib.import_module("akida")
    except ImportError as error:
        raise QuaintError("QP530", f"needs BrainChip's akida package ({error})", hint=INSTALL) from error
    if found.__file__ is None:  # a mere folder of that name
        raise QuaintError("QP530", "needs BrainChip's akida package (it is not installed)", hint=INSTALL)
    return found


def build(model: IntegerModel, *, edges: bool = True) -> Any:
    """An ``akida.Model`` that computes what the chip does of ``model``.

    Args:
        model: one integer tensor enters the chip, one leaves it.
        edges: with the quantizer of float inputs at the front and (Akida 2) the dequantizer at the end.

    Raises:
        QuaintError: QP530 without the package, QT352 for what the package cannot hold.
    """
    chip = [layer for layer in model.layers if layer.op not in EDGE_LAYERS | MOVES]
    origin = _origins(model, chip)
    described = [_describe(layer, model) for layer in chip]
    akida = runtime()
    vendor, made = akida.Model(), dict[str, Any]()
    for entry in _entrance(model, chip[0], described[0], origin[chip[0].inputs[0]], edges=edges):
        made[origin[chip[0].inputs[0]]] = _add(akida, vendor, entry)
    for layer, wanted in zip(chip, described, strict=True):
        inbound = [made[origin[name]] for name in layer.inputs if origin[name] in made]
        try:
            added = made[layer.outputs[0]] = _add(akida, vendor, wanted, inbound, layer.name)
        except (RuntimeError, TypeError, ValueError) as error:
            raise refuse(layer, str(error)) from error
        shape = map_shape(model.shapes[layer.outputs[0]])
        if tuple(added.output_dims) != shape:
            raise refuse(layer, f"its output would be {list(added.output_dims)}, not {list(shape)}")
    if edges and chip[-1].op in runtime_layers2.LAYERS:
        for entry in _exit(model, chip[-1]):
            _add(akida, vendor, entry)
    return vendor


def _origins(model: IntegerModel, chip: Sequence[Layer]) -> dict[str, str]:
    """Tensor that a layer reads -> the tensor that it is a mere rearrangement of, which is free at the edges alone.

    Raises:
        QuaintError: QT352 where not exactly one tensor enters and one leaves, or where one inside is rearranged.
    """
    made = {layer.outputs[0]: layer for layer in model.layers}
    origin: dict[str, str] = {}
    for layer in chip:
        for name in layer.inputs:
            source = name
            while source in made and made[source].op in MOVES:
                source = made[source].inputs[0]
            inner = source in made and made[source] in chip
            if inner and source != name and map_shape(model.shapes[source])[:2] != (1, 1):
                raise refuse(layer, "its input is rearranged")
            origin[name] = source
    outputs = {layer.outputs[0] for layer in chip}
    ends = {"enter": set(origin.values()) - outputs, "leave": outputs - set(origin.values())}
    for verb, names in ends.items():
        if len(names) != 1:
            raise QuaintError(
                "QT352", f"{len(names)} tensors {verb} the chip, in the akida package one", where=model.name
            )
    return origin


def can_enter(dtype: IntType) -> bool:
    """Whether integers may enter a model at a layer that is not for images."""
    return dtype.bits <= 8 and dtype.signed == (dtype.bits > 4)


def _describe(layer: Layer, model: IntegerModel) -> VendorLayer:
    if layer.op not in LAYERS:
        raise refuse(layer, "there is no such layer")
    return LAYERS[layer.op](layer, model)


def _entrance(
    model: IntegerModel, first: Layer, described: VendorLayer, entering: str, *, edges: bool
) -> Iterator[VendorLayer]:
    """Quantizer of floats, and the layer that says what enters where the first one does not say it itself."""
    shape, dtype = map_shape(model.shapes[first.inputs[0]]), model.tensors[first.inputs[0]].dtype
    made = {layer.outputs[0]: layer for layer in model.layers}
    quantizer = made.get(entering)
    if edges and quantizer is not None and quantizer.op == INPUT_QUANTIZER:
        moved = made.get(first.inputs[0])
        last = len(model.shapes[first.inputs[0]]) < 4 or (moved is not None and moved.op == "transpose")
        arguments = {"input_shape": shape if last else (shape[2], *shape[:2]), "channels_first": not last}
        arguments |= {"output_bits": dtype.bits, "output_signed": dtype.signed}
        found = {"scales": quantizer.constants["factor"], "zero_points": quantizer.constants["zero_point"]}
        stored = {"scales": np.float32, "zero_points": np.uint8}
        variables = {name: np.broadcast_to(found[name], (shape[2],)).astype(kind) for name, kind in stored.items()}
        yield VendorLayer("Quantizer", arguments, variables)
    if described.kind not in IMAGE_LAYERS:
        if not can_enter(dtype):
            raise refuse(first, f"{dtype} cannot enter: only 1 to 4 unsigned bits, or 5 to 8 signed ones")
        yield VendorLayer("InputData", {"input_shape": shape, "input_bits": dtype.bits}, {})


def _exit(model: IntegerModel, last: Layer) -> Iterator[VendorLayer]:
    """What makes reals of the last layer's integers, if anything does."""
    made = {layer.outputs[0]: layer for layer in model.layers}
    for reader in (layer for layer in model.layers if layer.op == DEQUANTIZER):
        source = made.get(reader.inputs[0])
        while source is not None and source.op in MOVES:
            source = made.get(source.inputs[0])
        if source is last:
            channels = map_shape(model.shapes[last.outputs[0]])[2]
            scales = np.broadcast_to(reader.constants["scale"], (channels,)).astype(np.float32)
            yield VendorLayer("Dequantizer", {}, {"scales": scales})
            return


def _add(akida: ModuleType, vendor: Any, wanted: VendorLayer, inbound: Sequence[Any] = (), name: str = "") -> Any:
    """Append a layer to the vendor's model, and set its variables."""
    arguments = {
        key: getattr(getattr(akida, ENUMERATIONS[key]), value) if isinstance(value, str) else value
        for key, value in wanted.arguments.items()
    }
    layer = getattr(akida, wanted.kind)(**arguments, name=name)
    vendor.add(layer, list(inbound))
    for key, array in wanted.variables.items():
        layer.set_variable(key, array)
    return layer
