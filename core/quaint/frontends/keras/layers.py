"""How each Keras layer is written in ONNX. Layers of one, two and three spatial axes share one translation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np

from quaint.frontends.keras.activations import ACTIVATION_LAYERS, activate
from quaint.frontends.keras.convolutions import CONVOLUTIONS, padding, spatial
from quaint.frontends.keras.emit import Emitter, Layer, Tensor

Translation = Callable[[Emitter, Layer, list[Tensor]], Tensor]


def _dense(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    x, weights = inputs[0], layer.weights
    kernel = emit.constant(f"{layer.path}/kernel", weights["kernel"])
    bias = [emit.constant(f"{layer.path}/bias", weights["bias"])] if "bias" in weights else []
    if x.rank == 2:
        value = emit.node("Gemm", layer.name, [emit.last(x), kernel, *bias])
    else:
        value = emit.node("MatMul", layer.name, [emit.last(x), kernel])
        if bias:
            value = emit.node("Add", f"{layer.name}/add", [value, *bias])
    return activate(emit, layer, Tensor(x.rank, last=value), layer.config.get("activation"))


def _batch_normalization(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    x, weights = inputs[0], layer.weights
    axis = int(np.ravel(layer.config.get("axis", -1))[0]) % x.rank
    if axis not in {1, x.rank - 1}:
        raise layer.unsupported(f"axis {axis}")
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    parameters = {
        "gamma": weights.get("gamma", np.ones_like(mean)),
        "beta": weights.get("beta", np.zeros_like(mean)),
        "moving_mean": mean,
        "moving_variance": variance,
    }
    constants = [emit.constant(f"{layer.path}/{role}", array) for role, array in parameters.items()]
    channels_last = axis == x.rank - 1
    value = emit.take(x, channels_last=channels_last)
    epsilon = float(layer.config.get("epsilon", 1e-3))
    value = emit.node("BatchNormalization", layer.name, [value, *constants], epsilon=epsilon)
    return emit.give(value, x.rank, channels_last=channels_last)


def _layer_normalization(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    x = inputs[0]
    axes = sorted(int(axis) % x.rank for axis in np.ravel(layer.config.get("axis", -1)))
    if axes != list(range(axes[0], x.rank)):
        raise layer.unsupported("an axis other than the last ones")
    if layer.config.get("rms_scaling"):
        raise layer.unsupported("rms_scaling")
    shape = next((array.shape for array in layer.weights.values()), (1,))
    scale = emit.constant(f"{layer.path}/gamma", layer.weights.get("gamma", np.ones(shape)))
    bias = [emit.constant(f"{layer.path}/beta", layer.weights["beta"])] if "beta" in layer.weights else []
    epsilon = float(layer.config.get("epsilon", 1e-3))
    operands = [emit.last(x), scale, *bias]
    value = emit.node("LayerNormalization", layer.name, operands, axis=axes[0] - x.rank, epsilon=epsilon)
    return Tensor(x.rank, last=value)


def _affine(emit: Emitter, layer: Layer, x: Tensor, scale: Any, offset: Any) -> Tensor:
    """``x * scale + offset``, leaving out what does nothing."""
    y = x
    if np.any(scale != 1):
        factor = emit.broadcast(f"{layer.path}/scale", scale, x)
        y = emit.elementwise("Mul", f"{layer.name}/mul" if np.any(offset) else layer.name, [y], factor)
    if np.any(offset):
        y = emit.elementwise("Add", layer.name, [y], emit.broadcast(f"{layer.path}/offset", offset, x))
    return y


def _rescaling(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    return _affine(emit, layer, inputs[0], _array(layer.config["scale"]), _array(layer.config.get("offset", 0)))


def _normalization(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    """``(x - mean) / max(sqrt(variance), epsilon)`` (Keras: epsilon 1e-7), over the axes that are kept."""
    x = inputs[0]
    if layer.config.get("invert"):
        raise layer.unsupported("invert")
    mean = np.asarray(layer.weights.get("mean", _array(layer.config.get("mean"))), np.float64)
    variance = np.asarray(layer.weights.get("variance", _array(layer.config.get("variance"))), np.float64)
    axes = layer.config.get("axis", -1)
    kept = sorted(int(axis) % x.rank for axis in np.ravel([] if axes is None else axes))
    deviation = np.maximum(np.sqrt(variance), 1e-7)
    scale, offset = 1 / deviation, -mean / deviation
    if kept and scale.ndim:
        shape = [1] * x.rank
        for axis, size in zip(kept, [n for n in scale.shape if n != 1] or [1] * len(kept), strict=True):
            shape[axis] = size
        scale, offset = scale.reshape(shape), offset.reshape(shape)
    return _affine(emit, layer, x, scale, offset)


def _array(value: Any) -> Any:
    """A number or an array as Keras serialises it."""
    if isinstance(value, Mapping):
        value = value["config"]["value"]
    return np.asarray(value, np.float64)


def _pool(op: str) -> Translation:
    def translate(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
        x = inputs[0]
        size = spatial(layer, "pool_size", x.rank)
        strides = spatial(layer, "strides", x.rank) if layer.config.get("strides") else size
        pads = padding(layer, size, strides, [1] * len(size))
        value = emit.take(x, channels_last=layer.channels_last)
        value = emit.node(op, layer.name, [value], kernel_shape=size, strides=strides, **pads)
        return emit.give(value, x.rank, channels_last=layer.channels_last)

    return translate


def _global_pool(op: str) -> Translation:
    def translate(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
        x = inputs[0]
        value = emit.node(op, layer.name, [emit.take(x, channels_last=layer.channels_last)])
        if layer.config.get("keepdims"):
            return emit.give(value, x.rank, channels_last=layer.channels_last)
        return Tensor(2, last=emit.node("Flatten", f"{layer.name}/flatten", [value], axis=1))

    return translate


def _flatten(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    """Keras flattens in channels-last order, whatever ``data_format``."""
    x = inputs[0]
    if x.rank == 2:
        return x
    value = emit.last(x)
    if not layer.channels_last and x.rank > 2:
        order = [0, *range(2, x.rank), 1]
        value = emit.node("Transpose", f"{layer.name}/channels_last", [value], perm=order)
    return Tensor(2, last=emit.node("Flatten", layer.name, [value], axis=1))


def _reshape(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    x, target = inputs[0], [int(size) for size in layer.config["target_shape"]]
    if x.rank == 2 and len(target) > 2 and set(target[:-1]) == {1}:  # (batch, n) to (batch, 1, 1, n): no transposition
        shape = emit.constant(f"{layer.path}/shape", [0, target[-1], *target[:-1]], np.int64)
        return Tensor(len(target) + 1, first=emit.node("Reshape", layer.name, [emit.last(x), shape]))
    shape = emit.constant(f"{layer.path}/shape", [0, *target], np.int64)  # 0: the batch, as it is
    return Tensor(len(target) + 1, last=emit.node("Reshape", layer.name, [emit.last(x), shape]))


def _permute(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    order = [0, *(int(axis) for axis in layer.config["dims"])]
    return Tensor(len(order), last=emit.node("Transpose", layer.name, [emit.last(inputs[0])], perm=order))


def _sides(layer: Layer, key: str, rank: int) -> tuple[list[int], list[int]]:
    """Sizes before and after every spatial axis: ``2``, ``[1, 2]`` or ``[[0, 1], [0, 1]]``."""
    value = layer.config[key]
    axes = rank - 2
    if axes == 1:
        value = [value]
    elif isinstance(value, int):
        value = [value] * axes
    pairs = [[side, side] if isinstance(side, int) else side for side in value]
    return [int(pair[0]) for pair in pairs], [int(pair[1]) for pair in pairs]


def _zero_padding(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    x = inputs[0]
    before, after = _sides(layer, "padding", x.rank)
    pads = emit.constant(f"{layer.path}/pads", [0, 0, *before, 0, 0, *after], np.int64)
    value = emit.node("Pad", layer.name, [emit.take(x, channels_last=layer.channels_last), pads], mode="constant")
    return emit.give(value, x.rank, channels_last=layer.channels_last)


def _cropping(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    x = inputs[0]
    before, after = _sides(layer, "cropping", x.rank)
    ends = [-size if size else np.iinfo(np.int64).max for size in after]
    operands = {"starts": before, "ends": ends, "axes": range(2, x.rank)}
    constants = [emit.constant(f"{layer.path}/{key}", list(value), np.int64) for key, value in operands.items()]
    value = emit.node("Slice", layer.name, [emit.take(x, channels_last=layer.channels_last), *constants])
    return emit.give(value, x.rank, channels_last=layer.channels_last)


def _up_sampling(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    x = inputs[0]
    size = spatial(layer, "size", x.rank)
    settings = {
        "nearest": {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    }
    interpolation = layer.config.get("interpolation", "nearest")
    if interpolation not in settings:
        raise layer.unsupported(f"interpolation {interpolation!r}")
    scales = emit.constant(f"{layer.path}/scales", [1, 1, *size])
    value = emit.take(x, channels_last=layer.channels_last)
    value = emit.node("Resize", layer.name, [value, None, scales], **settings[interpolation])
    return emit.give(value, x.rank, channels_last=layer.channels_last)


def _fold(emit: Emitter, layer: Layer, inputs: list[Tensor], op: str, name: str) -> Tensor:
    """``inputs`` joined by a binary operator, from left to right; the last node is called ``name``."""
    if len({x.rank for x in inputs if x.rank}) != 1:
        raise layer.unsupported("inputs of different rank")
    names = [*(f"{layer.name}/{i}" for i in range(1, len(inputs) - 1)), name]
    pairs = list(zip(names, inputs[1:], strict=True))
    return reduce(lambda left, pair: emit.elementwise(op, pair[0], [left, pair[1]]), pairs, inputs[0])


def _merge(op: str) -> Translation:
    return lambda emit, layer, inputs: _fold(emit, layer, inputs, op, layer.name)


def _average(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    total = _fold(emit, layer, inputs, "Add", f"{layer.name}/sum")
    return emit.elementwise("Mul", layer.name, [total], emit.constant(f"{layer.path}/share", 1 / len(inputs)))


def _concatenate(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    axis = emit.axis(int(layer.config.get("axis", -1)), inputs[0])
    return emit.elementwise("Concat", layer.name, inputs, axis=axis)


_MERGES = {
    "Add": "Add",
    "Subtract": "Sub",
    "Multiply": "Mul",
    "Divide": "Div",
    "TrueDivide": "Div",
    "Maximum": "Max",
    "Minimum": "Min",
}
LAYERS: dict[str, Translation] = {
    **CONVOLUTIONS,
    **ACTIVATION_LAYERS,
    **{name: _merge(op) for name, op in _MERGES.items()},
    **{f"MaxPooling{n}D": _pool("MaxPool") for n in (1, 2, 3)},
    **{f"AveragePooling{n}D": _pool("AveragePool") for n in (1, 2, 3)},
    **{f"GlobalMaxPooling{n}D": _global_pool("GlobalMaxPool") for n in (1, 2, 3)},
    **{f"GlobalAveragePooling{n}D": _global_pool("GlobalAveragePool") for n in (1, 2, 3)},
    **{f"ZeroPadding{n}D": _zero_padding for n in (1, 2, 3)},
    **{f"Cropping{n}D": _cropping for n in (1, 2, 3)},
    **{f"UpSampling{n}D": _up_sampling for n in (1, 2, 3)},
    "Average": _average,
    "BatchNormalization": _batch_normalization,
    "Concatenate": _concatenate,
    "Dense": _dense,
    "Flatten": _flatten,
    "LayerNormalization": _layer_normalization,
    "Normalization": _normalization,
    "Permute": _permute,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
}
