"""Recurrent layers as nodes of the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint_espdl.writing.graph import original

if TYPE_CHECKING:
    from quaint.integer import Layer
    from quaint_espdl.writing.graph import GraphWriter


def recurrent(writer: GraphWriter, layer: Layer) -> None:
    """GRU and LSTM: time first, weights as ONNX has them, biases in the gates' integers."""
    (tensor,) = layer.inputs
    sources = [writer.take(tensor, original(len(writer.shape(tensor))))]
    sources += [_constant(writer, layer, name) for name in ("weight", "recurrent", "bias") if name in layer.constants]
    outputs = [writer.declare(name, original(len(writer.shape(name)))) for name in layer.outputs]
    directions, _, hidden_size = layer.constants["recurrent"].shape
    given = {
        "direction": "bidirectional" if directions == 2 else "forward",
        "gate_exponent": layer.attributes["gate_exponent"],
        "hidden_size": hidden_size,
        "layout": 0,
        **({"linear_before_reset": 1} if layer.op == "GRU" else {}),
    }
    writer.node(layer.op, layer.name, sources, outputs, writer.params(layer.outputs[0]), **given)


def _constant(writer: GraphWriter, layer: Layer, name: str) -> str:
    tensor = f"{layer.name}/{name}"
    values = layer.constants[name].astype(writer.params(tensor).dtype.storage)
    return writer.constant(f"{layer.name}.{name}", values, (writer.exponent(tensor),))
