"""Keras' activation functions, by name and as layers, in ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from quaint.errors import QuaintError
from quaint.frontends.keras.config import kind
from quaint.frontends.keras.emit import Emitter, Layer, Tensor
from quaint.suggest import did_you_mean

#: Functions that are one ONNX operator with constant attributes.
OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "elu": ("Elu", {"alpha": 1.0}),
    "selu": ("Selu", {}),
    "gelu": ("Gelu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),  # the function's slope; the layer LeakyReLU has 0.3
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "exponential": ("Exp", {}),
    "mish": ("Mish", {}),
    "hard_swish": ("HardSwish", {}),
    "hard_silu": ("HardSwish", {}),
}


def activate(emit: Emitter, layer: Layer, x: Tensor, activation: Any, name: str | None = None) -> Tensor:
    """Apply an activation as Keras serialises it: a name, an object or a layer.

    Args:
        emit: where nodes go.
        layer: the layer that asks for it.
        x: what it is applied to.
        activation: the value of ``activation`` in the layer's configuration.
        name: of the ONNX node; ``layer/activation`` if not given.

    Raises:
        QuaintError: QM150, the function is not known.
    """
    if isinstance(activation, Mapping):
        function = activation["config"]
        if isinstance(function, Mapping):
            return _as_layer(emit, layer, x, activation)
        activation = function
    function = str(activation or "linear").lower()
    name = name or f"{layer.name}/{function}"
    if function == "linear":
        return x
    if function == "relu6":
        return clip(emit, name, x, 0.0, 6.0)
    if function in {"swish", "silu"}:
        return emit.elementwise("Mul", name, [x, emit.elementwise("Sigmoid", f"{name}/sigmoid", [x])])
    if function == "hard_sigmoid":
        # Keras 3: relu6(x + 3) / 6; Keras 2: clip(0.2 x + 0.5, 0, 1)
        return emit.elementwise("HardSigmoid", name, [x], alpha=1 / 6 if layer.keras >= 3 else 0.2, beta=0.5)
    if function in {"softmax", "log_softmax"}:
        return emit.elementwise("Softmax" if function == "softmax" else "LogSoftmax", name, [x], axis=emit.axis(-1, x))
    if function not in OPERATORS:
        known = [*OPERATORS, "linear", "relu6", "swish", "silu", "hard_sigmoid", "softmax", "log_softmax"]
        what = f"the activation {function!r} is not supported"
        raise QuaintError("QM150", what, where=layer.name, hint=did_you_mean(function, known))
    op, attributes = OPERATORS[function]
    return emit.elementwise(op, name, [x], **attributes)


def clip(emit: Emitter, name: str, x: Tensor, low: float, high: float) -> Tensor:
    """``min(max(x, low), high)``."""
    return emit.elementwise("Clip", name, [x], emit.constant(f"{name}/min", low), emit.constant(f"{name}/max", high))


def _as_layer(emit: Emitter, layer: Layer, x: Tensor, entry: Mapping[str, Any]) -> Tensor:
    """An activation that is given as a layer, such as ``activation=keras.layers.LeakyReLU()``."""
    name = f"{layer.name}/{entry['config'].get('name') or entry['class_name']}"
    inner = Layer(name, name, kind(entry), entry["config"], {}, layer.keras)
    if inner.kind not in ACTIVATION_LAYERS:
        raise QuaintError("QM150", f"the activation {inner.kind!r} is not supported", where=layer.name)
    return ACTIVATION_LAYERS[inner.kind](emit, inner, [x])


def _activation(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    return activate(emit, layer, inputs[0], layer.config["activation"], layer.name)


def _relu(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    """``max_value`` above, ``x`` from the threshold on, ``negative_slope * (x - threshold)`` below it."""
    (x,), name, config = inputs, layer.name, layer.config
    slope, threshold = float(config.get("negative_slope") or 0), float(config.get("threshold") or 0)
    limit = config.get("max_value")
    if limit is not None and not slope and not threshold:
        return clip(emit, name, x, 0.0, float(limit))
    inner = name if limit is None else f"{name}/unlimited"
    if threshold:
        at = emit.constant(f"{name}/threshold", threshold)
        kept = emit.elementwise("GreaterOrEqual", f"{name}/kept", [x], at)
        moved = emit.elementwise("Sub", f"{name}/above", [x], at)
        low_side = emit.elementwise("Mul", f"{name}/below", [moved], emit.constant(f"{name}/slope", slope))
        y = emit.elementwise("Where", inner, [kept, x, low_side])
    elif slope:
        y = emit.elementwise("LeakyRelu", inner, [x], alpha=slope)
    else:
        y = emit.elementwise("Relu", inner, [x])
    return y if limit is None else emit.elementwise("Min", name, [y], emit.constant(f"{name}/max", float(limit)))


def _leaky_relu(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    slope = layer.config.get("negative_slope", layer.config.get("alpha", 0.3))
    return emit.elementwise("LeakyRelu", layer.name, inputs, alpha=float(slope))


def _prelu(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    slope = emit.broadcast(f"{layer.path}/alpha", layer.weights["alpha"], inputs[0])
    return emit.elementwise("PRelu", layer.name, inputs, slope)


def _elu(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    return emit.elementwise("Elu", layer.name, inputs, alpha=float(layer.config.get("alpha", 1.0)))


def _softmax(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    axes = np.atleast_1d(layer.config.get("axis", -1))
    if len(axes) != 1:
        raise layer.unsupported("more than one axis")
    return emit.elementwise("Softmax", layer.name, inputs, axis=emit.axis(int(axes[0]), inputs[0]))


ACTIVATION_LAYERS: dict[str, Callable[[Emitter, Layer, list[Tensor]], Tensor]] = {
    "Activation": _activation,
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "PReLU": _prelu,
    "ELU": _elu,
    "Softmax": _softmax,
}
