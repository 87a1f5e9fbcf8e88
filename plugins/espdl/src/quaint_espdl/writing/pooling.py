"""Poolings as nodes of the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quaint.layers.kernels import window_steps
from quaint_espdl.writing.graph import channel_last

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.integer import Layer
    from quaint_espdl.writing.graph import GraphWriter


def max_pool(writer: GraphWriter, layer: Layer) -> None:
    """Max pooling; incomplete windows at the end become a wider border, which never wins."""
    _pool(writer, layer, "MaxPool", dilations=tuple(layer.attributes["dilations"]))


def average_pool(writer: GraphWriter, layer: Layer) -> None:
    """Average pooling; every window is divided by the kernel's whole area."""
    _pool(writer, layer, "AveragePool", count_include_pad=1)


def _pool(writer: GraphWriter, layer: Layer, op_type: str, **attributes: Any) -> None:
    source, output = _over_map(writer, layer)
    given = {name: tuple(layer.attributes[name]) for name in ("kernel_shape", "strides")}
    pads = tuple(layer.attributes["pads"])
    if layer.attributes["ceil_mode"]:
        pads = _whole_windows(writer.shape(layer.inputs[0])[2:], pads=pads, **given)
    attributes |= {**given, "pads": pads, "ceil_mode": 0}
    writer.node(op_type, layer.name, (source,), (output,), writer.params(layer.outputs[0]), **attributes)


def _whole_windows(
    size: Sequence[int], *, kernel_shape: Sequence[int], strides: Sequence[int], pads: Sequence[int]
) -> tuple[int, ...]:
    """The borders with which counting whole windows gives as many as counting incomplete ones too."""
    rank, ends = len(size), []
    for i, reach in enumerate(kernel_shape):
        steps = window_steps(size[i], reach, strides[i], pads[i], pads[rank + i], ceil_mode=True)
        ends.append(max(pads[rank + i], (steps - 1) * strides[i] + reach - size[i] - pads[i]))
    return (*pads[:rank], *ends)


def global_average_pool(writer: GraphWriter, layer: Layer) -> None:
    """Average over the map."""
    source, output = _over_map(writer, layer)
    writer.node("GlobalAveragePool", layer.name, (source,), (output,), writer.params(layer.outputs[0]))


def _over_map(writer: GraphWriter, layer: Layer) -> tuple[str, str]:
    """Names of input and output, channel last."""
    rank = len(writer.shape(layer.inputs[0]))
    source = writer.take(layer.inputs[0], channel_last(rank))
    return source, writer.declare(layer.outputs[0], channel_last(rank))
