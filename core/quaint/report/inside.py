"""What happens inside layers: steps that saturate or wrap on samples, and weights that leave their integers unused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.specs import weight_bits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from quaint.integer import Layer
    from quaint.quantized import Quantized

    Array = NDArray[Any]

#: A filter whose largest weight is below this share of its integers has lost a bit or more.
POOR_USE = 0.5


@dataclass(frozen=True)
class Step:
    """A saturation inside a layer.

    Args:
        layer: its name.
        bits: of the integers that it saturates to.
        saturated: share of values that it changed.
    """

    layer: str
    bits: int
    saturated: float


@dataclass(frozen=True)
class Scales:
    """How well a layer's weights use their integers.

    Args:
        layer: its name.
        bits: of its weights.
        use: the largest magnitude of the poorest filter, as a share of the largest integer.
        poor: filters below a half: their scales are inaccurate.
    """

    layer: str
    bits: int
    use: float
    poor: int


def saturations(model: Quantized, feeds: Mapping[str, Array]) -> list[Step]:
    """Saturations inside the layers of a quantized model; that of a layer's output, its last step, is left out.

    Args:
        model: what runs.
        feeds: samples, by input.
    """
    from quaint.simulators.counting import Counting

    layers = model.integer.integer_layers
    names = tuple(dict.fromkeys(name for layer in layers for name in layer.inputs if name not in feeds))
    values = {**feeds, **(model.run(feeds, outputs=names) if names else {})}
    kernels = model.target.all_kernels()
    found = []
    for layer in layers:
        arithmetic = Counting()
        given = (_exact(model, name, values[name]) for name in layer.inputs)
        kernels[layer.op](arithmetic, *given, **layer.constants, **layer.attributes)
        inner = arithmetic.steps
        if inner and inner[-1][0] == model.integer.tensors[layer.outputs[0]].dtype.bits:
            inner = inner[:-1]
        found += [Step(layer.name, bits, count / size) for bits, count, size in inner if count]
    return found


def _exact(model: Quantized, name: str, value: Array) -> Array:
    return np.asarray(value, np.int64) if name in model.integer.tensors else np.asarray(value)


def weight_scales(model: Quantized) -> list[Scales]:
    """How well the weights of each layer use their integers."""
    found = []
    for layer in model.integer.integer_layers:
        weight = layer.constants.get("weight")
        if weight is None or weight.ndim < 2:
            continue
        reads_input = model.integer.reads_input(layer)
        bits = weight_bits(model.target, model.config, layer.nodes, reads_input=reads_input)
        axis = _filters(model, layer, weight)
        peaks = np.abs(np.moveaxis(weight.astype(np.int64), axis, 0)).reshape(weight.shape[axis], -1).max(axis=1)
        use = peaks / ((1 << (bits - 1)) - 1)
        found.append(Scales(layer.name, bits, float(use.min()), int((use < POOR_USE).sum())))
    return found


def _filters(model: Quantized, layer: Layer, weight: Array) -> int:
    """The axis of the weights that counts filters."""
    params = model.integer.tensors.get(f"{layer.name}/weight")
    if params is not None and params.axis is not None:
        return params.axis
    return 1 if weight.ndim == 2 else 0
