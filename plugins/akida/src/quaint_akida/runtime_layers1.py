"""Layers of Akida 1 in the terms of the ``akida`` package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.integer import DEQUANTIZER
from quaint_akida.runtime_layers import (
    VendorLayer,
    channel_kernel,
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

#: Of layers behind the input layer; the input layer's go to 8.
WEIGHT_BITS = (2, 4, 8)
#: The least step that the package takes, and the largest that a processor does (hardware pages of AKD1000).
LEAST_STEP, MOST_STEP = 1 / 16, 2**16 - 1


def convolutional(layer: Layer, model: IntegerModel) -> VendorLayer:
    """InputConvolutional for an image, else Convolutional."""
    first, weight = _reads_image(layer, model), layer.constants["weight"]
    arguments = _window(layer, model, weight.shape[-1]) | _activation(layer)
    arguments |= {"filters": len(weight), "weights_bits": weight_bits(layer, WEIGHT_BITS)}
    if first:
        arguments |= {"padding_value": layer.attributes.get("padding_value", 0)}
        arguments |= {"input_shape": map_shape(model.shapes[layer.inputs[0]])}
    variables = {"weights": kernel(weight, flipped=not first), **_thresholds(layer, model)}
    return VendorLayer("InputConvolutional" if first else "Convolutional", arguments, variables)


def separable_convolutional(layer: Layer, model: IntegerModel) -> VendorLayer:
    """SeparableConvolutional."""
    weight, pointwise = layer.constants["weight"], layer.constants["pointwise"]
    arguments = _window(layer, model, weight.shape[-1]) | _activation(layer)
    bits = weight_bits(layer, WEIGHT_BITS, "weight", "pointwise")
    arguments |= {"filters": len(pointwise), "weights_bits": bits}
    halves = {"weights": channel_kernel(weight), "weights_pw": kernel(pointwise, flipped=False)}
    return VendorLayer("SeparableConvolutional", arguments, halves | _thresholds(layer, model))


def fully_connected(layer: Layer, model: IntegerModel) -> VendorLayer:
    """FullyConnected; it flattens channels, columns, rows."""
    rows, columns, channels = map_shape(model.shapes[layer.inputs[0]])
    weight = layer.constants["weight"].reshape(channels, rows, columns, -1)
    turned = weight.swapaxes(1, 2).reshape(1, 1, -1, weight.shape[-1])
    arguments = {"units": weight.shape[-1], "weights_bits": weight_bits(layer, WEIGHT_BITS)} | _activation(layer)
    variables = {"weights": np.ascontiguousarray(turned, np.int8), **_thresholds(layer, model)}
    return VendorLayer("FullyConnected", arguments, variables)


def _reads_image(layer: Layer, model: IntegerModel) -> bool:
    """Whether integers of 8 bits come in: only the input layer takes them."""
    return model.tensors[layer.inputs[0]].dtype.bits == 8


def _window(layer: Layer, model: IntegerModel, edge: int) -> dict[str, Any]:
    """Kernel, stride, padding and pooling: pairs of equal numbers, as the first generation has them."""
    (padding, stride), (kind, size, step) = window(layer, model), pooling(layer)
    pairs = {"kernel_size": edge, "kernel_stride": stride, "pool_size": size, "pool_stride": step}
    return {"padding": padding, "pool_type": kind} | {name: (n, n) for name, n in pairs.items()}


def _activation(layer: Layer) -> dict[str, Any]:
    if "step" not in layer.constants:
        return {"activation": False}
    return {"activation": True, "act_bits": layer.attributes["activation_bits"]}


def _thresholds(layer: Layer, model: IntegerModel) -> dict[str, Array]:
    """Thresholds, and the steps of levels, or those that make reals of potentials.

    Raises:
        QuaintError: QT352, see ``real_steps``.
    """
    threshold = layer.constants["threshold"].astype(np.int32)
    if "step" in layer.constants:
        step = layer.constants["step"] >> (4 - layer.attributes["activation_bits"])
        return {"threshold": threshold, "act_step": (step / 16).astype(np.float32)}
    found = real_steps(layer, model)
    return {"threshold": threshold} if found is None else {"threshold": threshold, "act_step": found[0]}


def real_steps(layer: Layer, model: IntegerModel) -> tuple[Array, float] | None:
    """Steps by which the package divides potentials, and how many times the real outputs that gives; None for levels.

    Steps are the reciprocals of the potentials' scales. Where those do not fit the chip, all are the same power of two larger or
    smaller.

    Raises:
        QuaintError: QT352 where filters differ so much that no power of two helps.
    """
    found = (other for other in model.layers if other.op == DEQUANTIZER and other.inputs == layer.outputs)
    reader = next(found, None)
    if reader is None or "step" in layer.constants:
        return None
    steps = 1 / np.broadcast_to(reader.constants["scale"], layer.constants["threshold"].shape).astype(np.float64)
    above, below = np.ceil(np.log2(steps.max() / MOST_STEP)), np.ceil(np.log2(LEAST_STEP / steps.min()))
    shift = below if below > 0 else -max(above, 0)
    steps = np.ldexp(steps, int(shift)).astype(np.float32)
    if steps.max() > MOST_STEP or steps.min() < LEAST_STEP:
        raise refuse(layer, "the scales of its filters differ more than the chip's steps can say")
    return steps, 2.0 ** -float(shift)


LAYERS = {made.__name__: made for made in (convolutional, separable_convolutional, fully_connected)}
