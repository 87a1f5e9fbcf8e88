"""Operators on single elements as nodes of the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint_espdl.writing.graph import channel_last
from quaint_espdl.writing.layouts import together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quaint.integer import Layer
    from quaint_espdl.writing.graph import GraphWriter

#: Operators of one input that the runtime knows by name and runs from a table.
TABLES = frozenset({"Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "Gelu", "Exp", "Neg", "Swish"})


def add(writer: GraphWriter, layer: Layer) -> None:
    """Sum or difference on one exponent; a constant comes first where it is what is subtracted from."""
    sources, output, _ = together(writer, layer)
    if layer.attributes.get("x_multiplier") == -1:
        sources.reverse()
    operator = "Sub" if -1 in {layer.attributes.get(f"{side}_multiplier") for side in "xy"} else "Add"
    writer.node(operator, layer.name, sources, (output,), writer.params(layer.outputs[0]))


def multiply(writer: GraphWriter, layer: Layer) -> None:
    """Product; the runtime finds the shift in the exponents."""
    sources, output, _ = together(writer, layer)
    writer.node("Mul", layer.name, sources, (output,), writer.params(layer.outputs[0]))


def compare(writer: GraphWriter, layer: Layer) -> None:
    """Truth values, which have a type of their own; a constant comes second."""
    sources, output, _ = together(writer, layer)
    operator = "".join(word.capitalize() for word in layer.attributes["relation"].split("_"))
    writer.node(operator, layer.name, sources, (output,), writer.params(layer.inputs[0]))


def prelu(writer: GraphWriter, layer: Layer) -> None:
    """A slope for each channel, channel last."""
    layout = channel_last(len(writer.shape(layer.inputs[0])))
    slopes = layer.constants["slope"].reshape(-1, *(1,) * (len(layout) - 2))
    slope = writer.constant(f"{layer.name}.slope", slopes, (writer.exponent(f"{layer.name}/slope"),))
    source, output = writer.take(layer.inputs[0], layout), writer.declare(layer.outputs[0], layout)
    writer.node("PRelu", layer.name, (source, slope), (output,), writer.params(layer.outputs[0]))


def clip(writer: GraphWriter, layer: Layer) -> None:
    """ReLU; any other clip with its bounds and, at 8 bits, as a table too."""
    params = writer.params(layer.outputs[0])
    low, high = layer.attributes["low"], layer.attributes["high"]
    if (low, high) == (0, params.dtype.high):
        _elementwise(writer, layer, "Relu")
        return
    exponents = (writer.exponent(layer.inputs[0]),)
    limits = [
        writer.constant(f"{layer.name}.{name}", np.asarray(limit, params.dtype.storage), exponents)
        for name, limit in (("min", low), ("max", high))
    ]
    table = np.clip(np.arange(params.dtype.low, params.dtype.high + 1), low, high) if params.dtype.bits == 8 else None
    _elementwise(writer, layer, "Clip", limits, table)


def lookup(writer: GraphWriter, layer: Layer) -> None:
    """A function as a table of every integer, under the operator's own name where the runtime knows it."""
    operator, table = _operator(writer, layer), layer.constants["table"]
    if writer.params(layer.inputs[0]).dtype.bits == 16:
        _elementwise(writer, layer, "LUT", (), table, int16_lut_step=1, original_op_type=operator)
    elif operator in TABLES:
        _elementwise(writer, layer, operator, (), table)
    else:
        _elementwise(writer, layer, "LUT", (), table, original_op_type=operator)


def wide_lookup(writer: GraphWriter, layer: Layer) -> None:
    """A function as a table of every n-th 16-bit integer."""
    attributes = {"int16_lut_step": 1 << layer.attributes["bits"], "original_op_type": _operator(writer, layer)}
    _elementwise(writer, layer, "LUT", (), layer.constants["table"], **attributes)


def _operator(writer: GraphWriter, layer: Layer) -> str:
    """What the table was made of, for readers; ``LUT`` where it has no name."""
    drawn = [writer.operators[node] for node in layer.nodes if node in writer.operators]
    if "Mul" in drawn:
        return "Swish" if "Sigmoid" in drawn else "LUT"
    return drawn[0] if drawn else "LUT"


def requantize(writer: GraphWriter, layer: Layer) -> None:
    """Another exponent or width; the runtime reads both from the tensors, the scale is for readers."""
    params = writer.params(layer.outputs[0])
    scale = writer.constant(f"{layer.name}.scale", params.scale.astype(np.float32))
    zero = writer.constant(f"{layer.name}.zero_point", np.zeros((), params.dtype.storage))
    _elementwise(writer, layer, "RequantizeLinear", (scale, zero))


def _elementwise(
    writer: GraphWriter,
    layer: Layer,
    op_type: str,
    more: Sequence[str] = (),
    table: NDArray[Any] | None = None,
    **attributes: Any,
) -> None:
    layout, params = writer.layout(layer.inputs[0]), writer.params(layer.outputs[0])
    source, output = writer.take(layer.inputs[0], layout), writer.declare(layer.outputs[0], layout)
    if table is not None:
        entries = table.astype(params.dtype.storage)
        exponents = (writer.exponent(layer.outputs[0]),)
        attributes["lut"] = writer.constant(f"{layer.name}.lut", entries, exponents, doc=False)
    writer.node(op_type, layer.name, (source, *more), (output,), params, **attributes)
