"""How wide accumulators are on a chip, and which sums can leave them: limits that layers get, and what the user is told.

Of vector instructions the widths are ``limits["accumulator_bits"]``. Filters that fill no vector are dot products in an
accumulator of its own (``limits["tail_accumulator_bits"]``), but for depthwise convolutions, which stay in vectors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.integer import IntegerModel, Layer
    from quaint.numerics import IntType
    from quaint.target import Target

    Ints = NDArray[np.int64]

#: Axis of the output channels in a layer's weights.
CHANNELS = {"conv": 0, "conv_transpose": 1, "gemm": 1, "matmul": -1, "packedmatmul": -1}
#: Operators that give no negative number, and those that keep the sign of what they are given, here and in a file.
_POSITIVE = frozenset({"Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs"})
_KEEPING = frozenset({
    "MaxPool", "AveragePool", "GlobalAveragePool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice",
    "Rearrange", "Take", "InsertZeros",
})  # fmt: skip
#: Layers that are warned of one by one.
FEW = 3
#: What happens to a sum that leaves its accumulator (``limits["overflow"]``), in words.
FATES = {"saturate": "saturates", "wrap": "wraps around"}


def limited(
    layer: Layer, target: Target, dtype: IntType, size: tuple[int, int] = (0, 1), *, positive: bool = False
) -> tuple[Layer, str | None]:
    """A sum of products as the chip adds it up, and what the user should know of it.

    Args:
        layer: with or without constant weights.
        target: the chip.
        dtype: of the input.
        size: without constant weights, how many products a sum has and how many output channels there are.
        positive: whether no input is negative.

    Returns:
        The layer with the limits of the accumulator if a sum may leave it; and a warning, if so.
    """
    low = 0 if positive else dtype.low
    if "weight" in layer.constants:
        largest = reach(layer, low, dtype.high)
    else:
        terms, channels = size
        largest = np.full(channels, terms * dtype.low**2)
    bits = _widths(layer, target, dtype.bits, largest.size)
    beyond = largest > ~np.left_shift(-1, bits - 1)
    if not beyond.any():
        return layer, None
    fate = target.limits.get("overflow")
    if fate:
        widths = int(bits[0]) if len(set(bits.tolist())) == 1 else bits.tolist()
        given = {"accumulator_bits": widths, "accumulator_wraps": fate == "wrap"}
        layer = replace(layer, attributes={**layer.attributes, **given})
    count, smallest = int(beyond.sum()), int(bits[beyond].min())
    which = f"{count} of {largest.size} channels"
    remedy = (
        "give this layer 16 bits, or smaller weights by equalization" if dtype.bits == 8 else "give it smaller weights"
    )
    what = f"then it {FATES[fate]}, here too" if fate else "which is not simulated"
    return layer, f"{which} can exceed the {smallest}-bit accumulator on extreme inputs ({what}): {remedy}"


def limited_model(model: IntegerModel, target: Target) -> tuple[IntegerModel, list[str]]:
    """A model read from a file with the chip's accumulators, and what the user should know of them."""
    layers, warned, positive = [], dict[str, str](), set[str]()
    for layer in model.layers:
        made, warning = layer, None
        if layer.op.lower() in CHANNELS:
            source, *others = layer.inputs
            size = model.shapes[source][-1] or 1, (model.shapes[others[0]][-1] or 1) if others else 1
            made, warning = limited(layer, target, model.tensors[source].dtype, size, positive=source in positive)
        layers.append(made)
        if warning:
            warned[layer.name] = warning
        positive.update(layer.outputs if positive_outputs(layer, positive) else ())
    return replace(model, layers=tuple(layers)), _joined(warned)


def _joined(warned: Mapping[str, str]) -> list[str]:
    """A line for each layer, or one for all where there are many: nobody can change a file's layers one by one."""
    if len(warned) <= FEW:
        return [f"layer {name!r}: {warning}" for name, warning in warned.items()]
    names = ", ".join(repr(name) for name in list(warned)[:FEW])
    return [f"{len(warned)} layers can exceed their accumulators on extreme inputs: {names} and others"]


def never_negative(value: ir.Value) -> bool:
    """Whether a float tensor is known to hold no negative number."""
    node = value.producer()
    if node is None:
        return False
    if node.op_type == "Clip":
        least = graph.constant(node.inputs[1]) if len(node.inputs) > 1 else None
        return least is not None and bool((least >= 0).all())
    inputs = [given for given in node.inputs if given is not None]
    return node.op_type in _POSITIVE or (node.op_type in _KEEPING and never_negative(inputs[0]))


def positive_outputs(layer: Layer, positive: Collection[str]) -> bool:
    """Whether no output of a layer is negative, those of some layers before it not being it."""
    if "table" in layer.constants:
        return bool((layer.constants["table"] >= 0).all())
    if "weight" in layer.constants:
        return bool(layer.attributes["low"] >= 0)
    return layer.op in _KEEPING and all(name in positive for name in layer.inputs)


def _widths(layer: Layer, target: Target, bits: int, channels: int) -> Ints:
    """The bits of each output channel's accumulator."""
    widths = np.full(channels, target.limits["accumulator_bits"][bits])
    alignment, tail = target.limits["alignment"][bits], target.limits.get("tail_accumulator_bits")
    if alignment and tail and layer.attributes.get("group", 1) == 1:
        widths[channels - channels % alignment :] = tail
    return widths


def reach(layer: Layer, low: int, high: int) -> Ints:
    """The largest magnitude that any partial sum of each output channel can have with inputs from ``low`` to ``high``."""
    weight: NDArray[Any] = layer.constants["weight"].astype(np.int64)
    axis = CHANNELS[layer.op.lower()] % weight.ndim
    others = tuple(i for i in range(weight.ndim) if i != axis)
    bias = layer.constants.get("bias", np.zeros((), np.int64))
    most = np.maximum(weight * high, weight * low).clip(min=0).sum(others) + np.maximum(bias, 0)
    least = np.minimum(weight * high, weight * low).clip(max=0).sum(others) + np.minimum(bias, 0)
    return np.asarray(np.maximum(most, -least))
