"""Softmax, norms and quotients as nodes of the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint_espdl.writing.graph import original
from quaint_espdl.writing.layouts import together

if TYPE_CHECKING:
    from quaint.integer import Layer
    from quaint_espdl.writing.graph import GraphWriter


def softmax(writer: GraphWriter, layer: Layer) -> None:
    """The runtime gives floats, which a node of their own quantizes."""
    source, output = layer.inputs[0], layer.outputs[0]
    layout, params = writer.layout(source), writer.params(output)
    taken, axis = writer.take(source, layout), layout.index(layer.attributes["axis"])
    reals = writer.reals(f"{output}_reals", [writer.shape(output)[i] for i in layout])
    writer.node(layer.op, layer.name, (taken,), (reals,), writer.params(source), axis=axis)
    scale = writer.constant(f"{layer.name}.scale", params.scale.astype(np.float32))
    zero = writer.constant(f"{layer.name}.zero_point", np.zeros((), params.dtype.storage))
    made = writer.declare(output, layout)
    writer.node("QuantizeLinear", f"{layer.name}_QuantizeLinear", (reals, scale, zero), (made,), params)


def norm(writer: GraphWriter, layer: Layer) -> None:
    """Layer normalization with integer constants, root mean square normalization with a float one: over the last axis."""
    layout = original(len(writer.shape(layer.inputs[0])))
    sources = [writer.take(layer.inputs[0], layout)]
    sources += [_parameter(writer, layer, name) for name in ("weight", "bias") if name in layer.constants]
    output, params = writer.declare(layer.outputs[0], layout), writer.params(layer.outputs[0])
    given = {"axis": -1, "epsilon": float(layer.attributes["epsilon"])}
    writer.node(layer.op, layer.name, sources, (output,), params, **given)


def _parameter(writer: GraphWriter, layer: Layer, name: str) -> str:
    """A constant along the last axis: as integers where it is quantized."""
    tensor, values = f"{layer.name}/{name}", layer.constants[name]
    if tensor not in writer.model.tensors:
        return writer.constant(f"{layer.name}.{name}", values)
    params = writer.params(tensor)
    integers = (values / params.scale).astype(params.dtype.storage)
    return writer.constant(f"{layer.name}.{name}", integers, (writer.exponent(tensor),))


def lp_norm(writer: GraphWriter, layer: Layer) -> None:
    """Division by a norm along an axis, wherever the layout has it."""
    layout = writer.layout(layer.inputs[0])
    source, output = writer.take(layer.inputs[0], layout), writer.declare(layer.outputs[0], layout)
    given = {"axis": layout.index(layer.attributes["axis"]), "p": layer.attributes["p"]}
    writer.node(layer.op, layer.name, (source,), (output,), writer.params(layer.outputs[0]), **given)


def quotient(writer: GraphWriter, layer: Layer) -> None:
    """Division, remainder, power; a constant stands on its side."""
    sources, output, _ = together(writer, layer)
    if layer.attributes.get("from_constant"):
        sources.reverse()
    given = {"fmod": 1} if layer.op == "Mod" else {}
    writer.node(layer.op, layer.name, sources, (output,), writer.params(layer.outputs[0]), **given)
