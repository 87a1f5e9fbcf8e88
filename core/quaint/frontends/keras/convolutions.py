"""Keras' convolutions in ONNX. Keras kernels are (spatial..., in, out), ONNX kernels (out, in / group, spatial...)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.errors import QuaintError
from quaint.frontends.keras.activations import activate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.frontends.keras.emit import Emitter, Layer, Tensor


def spatial(layer: Layer, key: str, rank: int, default: int = 1) -> list[int]:
    """A setting for every spatial axis, such as ``strides``; Keras also takes one number for all."""
    value = layer.config.get(key)
    values = [int(item) for item in np.ravel(default if value is None else value)]
    return values * (rank - 2) if len(values) == 1 else values


def padding(layer: Layer, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> dict[str, Any]:
    """ONNX attributes for Keras' ``padding``; "same" puts the odd row after, and depends on the size if strided."""
    reach = [dilation * (size - 1) for size, dilation in zip(kernel, dilations, strict=True)]
    mode = str(layer.config.get("padding", "valid"))
    if mode == "valid":
        return {}
    if mode == "causal":
        return {"pads": [*reach, *[0] * len(reach)]}
    if mode != "same":
        raise layer.unsupported(f"padding {mode!r}")
    if any(stride != 1 for stride in strides):
        return {"auto_pad": "SAME_UPPER"}
    return {"pads": [*(total // 2 for total in reach), *(total - total // 2 for total in reach)]}


def _kernel(layer: Layer, role: str, rank: int) -> NDArray[np.float32]:
    """The weight, if it has the shape that the configuration tells."""
    kernel, size = layer.weights[role], spatial(layer, "kernel_size", rank)
    if role != "pointwise_kernel" and kernel.shape[:-2] != tuple(size):
        what = f"the kernel's shape is {kernel.shape}, the configuration says {tuple(size)}"
        raise QuaintError("QM104", what, where=layer.name)
    return kernel


def _forward(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """(spatial..., in, out) to (out, in, spatial...)."""
    return np.moveaxis(kernel, (-1, -2), (0, 1))


def _depthwise(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """(spatial..., in, multiplier) to (in * multiplier, 1, spatial...)."""
    moved = np.moveaxis(kernel, (-2, -1), (0, 1))
    return moved.reshape(-1, 1, *moved.shape[2:])


def _bias(emit: Emitter, layer: Layer) -> list[ir.Value]:
    return [emit.constant(f"{layer.path}/bias", layer.weights["bias"])] if "bias" in layer.weights else []


def _finish(emit: Emitter, layer: Layer, value: ir.Value, rank: int) -> Tensor:
    y = emit.give(value, rank, channels_last=layer.channels_last)
    return activate(emit, layer, y, layer.config.get("activation"))


def _settings(layer: Layer, rank: int) -> dict[str, Any]:
    size, strides = spatial(layer, "kernel_size", rank), spatial(layer, "strides", rank)
    dilations = spatial(layer, "dilation_rate", rank)
    return {"strides": strides, "dilations": dilations, **padding(layer, size, strides, dilations)}


def _convolution(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    rank = inputs[0].rank
    kernel = emit.constant(f"{layer.path}/kernel", _forward(_kernel(layer, "kernel", rank)))
    operands = [emit.take(inputs[0], channels_last=layer.channels_last), kernel, *_bias(emit, layer)]
    group = int(layer.config.get("groups", 1))
    return _finish(emit, layer, emit.node("Conv", layer.name, operands, group=group, **_settings(layer, rank)), rank)


def _depthwise_convolution(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    rank, weight = inputs[0].rank, _kernel(layer, "kernel", inputs[0].rank)
    kernel = emit.constant(f"{layer.path}/kernel", _depthwise(weight))
    operands = [emit.take(inputs[0], channels_last=layer.channels_last), kernel, *_bias(emit, layer)]
    group = weight.shape[-2]
    return _finish(emit, layer, emit.node("Conv", layer.name, operands, group=group, **_settings(layer, rank)), rank)


def _separable_convolution(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    """Two nodes: ``layer/depthwise``, then the pointwise one, which bears the layer's name."""
    rank, weight = inputs[0].rank, _kernel(layer, "depthwise_kernel", inputs[0].rank)
    depthwise = emit.constant(f"{layer.path}/depthwise_kernel", _depthwise(weight))
    pointwise = emit.constant(f"{layer.path}/pointwise_kernel", _forward(_kernel(layer, "pointwise_kernel", rank)))
    value, group = emit.take(inputs[0], channels_last=layer.channels_last), weight.shape[-2]
    value = emit.node("Conv", f"{layer.name}/depthwise", [value, depthwise], group=group, **_settings(layer, rank))
    return _finish(emit, layer, emit.node("Conv", layer.name, [value, pointwise, *_bias(emit, layer)]), rank)


def _transposed_convolution(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    """Sizes as Keras has them: ``same`` gives input * stride, ``valid`` (input - 1) * stride + max(kernel, stride).

    With ``output_padding`` p, ``same`` gives (input - 1) * stride + kernel - 2 (kernel // 2) + p (Keras:
    ``deconv_output_length``); TensorFlow takes the odd row of what is cut off from the end.
    """
    rank, weight = inputs[0].rank, _kernel(layer, "kernel", inputs[0].rank)
    size, strides = spatial(layer, "kernel_size", rank), spatial(layer, "strides", rank)
    dilations = spatial(layer, "dilation_rate", rank)
    extra = layer.config.get("output_padding")
    reach = [dilation * (n - 1) + 1 for n, dilation in zip(size, dilations, strict=True)]
    same = layer.config.get("padding") == "same"
    if extra is None:
        cut = [n - stride if same else min(n - stride, 0) for n, stride in zip(reach, strides, strict=True)]
    else:
        added = spatial(layer, "output_padding", rank)
        cut = [2 * (n // 2) * same - more for n, more in zip(reach, added, strict=True)]
    begin = [max(total, 0) // 2 for total in cut]
    settings = {
        "strides": strides,
        "dilations": dilations,
        "pads": [*begin, *(max(total, 0) - first for total, first in zip(cut, begin, strict=True))],
        "output_padding": [max(-total, 0) for total in cut],
    }
    # Keras keeps (spatial..., out, in) here; ONNX wants (in, out, spatial...).
    kernel = emit.constant(f"{layer.path}/kernel", _forward(weight))
    operands = [emit.take(inputs[0], channels_last=layer.channels_last), kernel, *_bias(emit, layer)]
    group = int(layer.config.get("groups", 1))
    if group != 1:
        raise layer.unsupported("groups")
    return _finish(emit, layer, emit.node("ConvTranspose", layer.name, operands, **settings), rank)


CONVOLUTIONS: dict[str, Callable[[Emitter, Layer, list[Tensor]], Tensor]] = {
    **{f"Conv{n}D": _convolution for n in (1, 2, 3)},
    **{f"Conv{n}DTranspose": _transposed_convolution for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}D": _depthwise_convolution for n in (1, 2)},
    **{f"SeparableConv{n}D": _separable_convolution for n in (1, 2)},
}
