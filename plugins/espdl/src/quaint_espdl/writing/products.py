"""Convolutions and dense layers as nodes of the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint_espdl.file.layout import WeightKind, weights_tensor
from quaint_espdl.writing.graph import channel_last, original

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from quaint.integer import Layer
    from quaint_espdl.writing.graph import GraphWriter


def conv(writer: GraphWriter, layer: Layer) -> None:
    """Plain or depthwise convolution; borders, strides and dilations are always written."""
    rank = len(writer.shape(layer.inputs[0]))
    source = writer.take(layer.inputs[0], channel_last(rank))
    given = {name: tuple(layer.attributes[name]) for name in ("strides", "pads", "dilations")}
    _convolution(writer, layer, source, layer.constants["weight"], layer.attributes["group"], given)


def conv_transpose(writer: GraphWriter, layer: Layer) -> None:
    """Zeros between the pixels, then a convolution with the weights turned round and the borders that are left."""
    tensor, wish = layer.inputs[0], layer.attributes
    shape = writer.shape(tensor)
    source = writer.take(tensor, channel_last(len(shape)))
    strides, extra = wish["strides"], wish["output_padding"]
    if any(step != 1 for step in strides) or any(extra):
        size = [(n - 1) * step + 1 + more for n, step, more in zip(shape[2:], strides, extra, strict=True)]
        spread = writer.scratch(f"{source}_spread", (1, *size, shape[1]), tensor)
        attributes = {"stride": tuple(strides), "output_padding": tuple(extra)}
        writer.node(
            "InsertZeros", f"{layer.name}_InsertZeros", (source,), (spread,), writer.params(tensor), **attributes
        )
        source = spread
    weight = layer.constants["weight"]
    spatial = tuple(range(2, weight.ndim))
    reach = [step * (n - 1) for n, step in zip(weight.shape[2:], wish["dilations"], strict=True)]
    pads = tuple(n - pad for n, pad in zip((*reach, *reach), wish["pads"], strict=True))
    given = {"strides": (1,) * len(spatial), "pads": pads, "dilations": tuple(wish["dilations"])}
    turned = np.flip(weight, spatial)
    filters = turned if wish["group"] > 1 else turned.swapaxes(0, 1)
    _convolution(writer, layer, source, filters, wish["group"], given)


def _convolution(
    writer: GraphWriter,
    layer: Layer,
    source: str,
    weight: NDArray[Any],
    group: int,
    given: Mapping[str, tuple[int, ...]],
) -> None:
    kind = WeightKind.CONV if group == 1 else WeightKind.DEPTHWISE
    inputs = (source, *_parameters(writer, layer, weight, kind))
    output = writer.declare(layer.outputs[0], channel_last(weight.ndim))
    attributes = {"group": group, "kernel_shape": weight.shape[2:], "activation": _activation(writer, layer)}
    writer.node("Conv", layer.name, inputs, (output,), writer.params(layer.outputs[0]), **attributes, **given)


def gemm(writer: GraphWriter, layer: Layer) -> None:
    """Dense layer over the last axis of a tensor of any rank."""
    rank = len(writer.shape(layer.inputs[0]))
    source = writer.take(layer.inputs[0], original(rank))
    inputs = (source, *_parameters(writer, layer, layer.constants["weight"].T, WeightKind.GEMM))
    output = writer.declare(layer.outputs[0], original(rank))
    attributes = {"alpha": 1.0, "beta": 1.0, "transB": 0, "activation": _activation(writer, layer)}
    writer.node("Gemm", layer.name, inputs, (output,), writer.params(layer.outputs[0]), **attributes)


def _parameters(writer: GraphWriter, layer: Layer, weight: NDArray[Any], kind: WeightKind) -> tuple[str, str]:
    """Weights and bias; their exponents follow from the shift of the accumulator."""
    bits = writer.params(layer.outputs[0]).dtype.bits
    entering, leaving = writer.exponent(layer.inputs[0]), writer.exponent(layer.outputs[0])
    exponents = np.atleast_1d(leaving - entering - layer.constants["shift"])
    name = writer.unique(f"{layer.name}.weight")
    integers = weight.astype(f"int{bits}")  # 8-bit weights of a 16-bit layer are stored in its width
    packed = weights_tensor(name, integers, kind, writer.alignment[bits], tuple(exponents.tolist()))
    writer.constants.append(packed)
    bias = layer.constants["bias"].astype(np.int32 if bits == 8 else np.int64)
    return name, writer.constant(f"{layer.name}.bias", bias, tuple((exponents + entering).tolist()))


def _activation(writer: GraphWriter, layer: Layer) -> str:
    low, dtype = layer.attributes["low"], writer.params(layer.outputs[0]).dtype
    return "Relu" if low == 0 and dtype.low != 0 else "Linear"
