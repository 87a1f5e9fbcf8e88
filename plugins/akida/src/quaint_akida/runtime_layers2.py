"""Layers of Akida 2 in the terms of the ``akida`` package, whose shifts are to the left where they are positive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint_akida.akida2_kernels import POST, SHIFT_HIGH
from quaint_akida.runtime_layers import (
    VendorLayer,
    channel_kernel,
    filters,
    kernel,
    map_shape,
    pooling,
    refuse,
    weight_bits,
    window,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.integer import IntegerModel, Layer

    Array = NDArray[Any]

WEIGHT_BITS = (4, 8)
#: Bits of the accumulator where a layer says nothing.
BUFFER_BITS = {"conv2d": 28, "conv2d_transpose": 28, "dense1d": 28, "buffer_temp_conv": 32, "shifted_add": 32}


def conv2d(layer: Layer, model: IntegerModel) -> VendorLayer:
    """InputConv2D for an image, else Conv2D or DepthwiseConv2D."""
    weight = filters(layer)
    (padding, stride), (kind, size, step) = window(layer, model), pooling(layer)
    arguments = {"padding": padding, "kernel_stride": stride, "kernel_size": weight.shape[-1]}
    arguments |= {"pool_type": kind, "pool_size": size, "pool_stride": step} | _ending(layer)
    if layer.attributes.get("group", 1) > 1:
        return VendorLayer("DepthwiseConv2D", arguments, {"weights": channel_kernel(weight), **_variables(layer)})
    arguments |= {"filters": len(weight)}
    if "padding_value" not in layer.constants:
        return VendorLayer("Conv2D", arguments, {"weights": kernel(weight, flipped=True), **_variables(layer)})
    arguments |= {"input_shape": map_shape(model.shapes[layer.inputs[0]])}
    variables = {"weights": kernel(weight, flipped=False), **_variables(layer)}
    return VendorLayer("InputConv2D", arguments, variables | {"padding_value": layer.constants["padding_value"]})


def conv2d_transpose(layer: Layer, model: IntegerModel) -> VendorLayer:  # noqa: ARG001
    """Conv2DTranspose or DepthwiseConv2DTranspose; weights are [C, F, k, k]."""
    weight = layer.constants["weight"]
    arguments = {"kernel_size": weight.shape[-1]} | _ending(layer)
    variables = {"weights": channel_kernel(weight, flipped=False), **_variables(layer)}
    if layer.attributes.get("group", 1) > 1:
        return VendorLayer("DepthwiseConv2DTranspose", arguments, variables)
    return VendorLayer("Conv2DTranspose", arguments | {"filters": weight.shape[1]}, variables)


def dense1d(layer: Layer, model: IntegerModel) -> VendorLayer:
    """Dense1D; it flattens rows, columns, channels."""
    rows, columns, channels = map_shape(model.shapes[layer.inputs[0]])
    weight = layer.constants["weight"].reshape(channels, rows, columns, -1)
    turned = weight.transpose(1, 2, 0, 3).reshape(-1, weight.shape[-1])
    variables = {"weights": np.ascontiguousarray(turned, np.int8), **_variables(layer)}
    return VendorLayer("Dense1D", {"units": weight.shape[-1]} | _ending(layer), variables)


def buffer_temp_conv(layer: Layer, model: IntegerModel) -> VendorLayer:  # noqa: ARG001
    """BufferTempConv or DepthwiseBufferTempConv; weights are [F, C, T] and perhaps two axes of 1."""
    weight = layer.constants["weight"]
    filters, channels, steps = weight.shape[:3]
    frames = weight.reshape(filters, channels, steps).transpose(2, 1, 0)
    arguments = {"fifo_size": steps} | _ending(layer)
    if layer.attributes.get("group", 1) > 1:
        kind, turned = "DepthwiseBufferTempConv", frames.reshape(1, 1, steps, filters)
    else:
        kind, turned = "BufferTempConv", frames.reshape(1, 1, steps * channels, filters)
        arguments |= {"filters": filters}
    return VendorLayer(kind, arguments, {"weights": np.ascontiguousarray(turned, np.int8), **_variables(layer)})


def shifted_add(layer: Layer, model: IntegerModel) -> VendorLayer:  # noqa: ARG001
    """Add."""
    shifts = {name: layer.constants[name].astype(np.uint8) for name in ("a_shift", "b_shift")}
    return VendorLayer("Add", _widths(layer), shifts | {"output_shift": _left(layer, "output_shift")})


def concatenate(layer: Layer, model: IntegerModel) -> VendorLayer:  # noqa: ARG001
    """Concatenate."""
    return VendorLayer("Concatenate", {}, {})


def _widths(layer: Layer) -> dict[str, Any]:
    """Bits of the output and of the buffers.

    Raises:
        QuaintError: QT352 for an output whose sign is not the one that goes with its width.
    """
    given, bits = layer.attributes, layer.attributes.get("output_bits", 8)
    if given.get("output_signed") not in {None, bits > 4}:
        raise refuse(layer, f"an output of {bits} bits is always {'signed' if bits > 4 else 'unsigned'}")
    buffers = {"buffer_bits": given.get("buffer_bits", BUFFER_BITS[layer.op])}
    return {"output_bits": bits, "post_op_buffer_bits": given.get("post_bits", POST.bits)} | buffers


def _ending(layer: Layer) -> dict[str, Any]:
    """Widths and the activation by its name."""
    table, bound = "lut_values" in layer.constants, "max_value" in layer.constants
    activation = "LUT" if table else "ReLU" if bound else "NoActivation"
    return _widths(layer) | {"weights_bits": weight_bits(layer, WEIGHT_BITS), "activation": activation}


def _variables(layer: Layer) -> dict[str, Array]:
    """Bias, activation and scale-out; where a layer lacks one, the package's own value does nothing."""
    given = layer.constants
    unsigned = {"bias_shift": "bias_shift", "output_scales": "output_scale", "activation_scales": "activation_scale"}
    unsigned |= {name: name for name in ("max_value", "max_value_shift")}
    found = {name: given[own].astype(np.uint8) for name, own in unsigned.items() if own in given}
    found |= {name: _left(layer, name) for name in ("output_shift", "activation_shift") if name in given}
    if "lut_values" in given:
        found["lut_values"] = given["lut_values"].astype(np.int32)
    return found | {"bias": given["bias"].astype(np.int8)}


def _left(layer: Layer, name: str) -> Array:
    """Shifts to the right as shifts to the left.

    Raises:
        QuaintError: QT352 for shifts that the package does not check and cannot do.
    """
    shift = -layer.constants[name].astype(np.int64)
    if np.abs(shift).max() > SHIFT_HIGH:
        raise refuse(layer, f"shifts by more than {SHIFT_HIGH} bits")
    return shift.astype(np.int8)


LAYERS = {
    made.__name__: made for made in (conv2d, conv2d_transpose, dense1d, buffer_temp_conv, shifted_add, concatenate)
}
