"""What the runtime and the chips cannot do: refused on the plan, or mended and warned of in the integers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers.output import requantization
from quaint.numerics import QuantParams
from quaint.partition import Refusal
from quaint.specs import activation_spec, weight_spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.partition import Plan
    from quaint.patterns import Block

MAX_RANK = 4
#: Operators that slide over a map, which takes one sample at a time.
OVER_MAP = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool")
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
#: Axis of the output channels in a layer's weights.
CHANNELS = {"conv": 0, "conv_transpose": 1, "gemm": 1}


def refusals(plan: Plan) -> Iterator[Refusal]:
    """What no layer may be, whatever pattern found it."""
    for block in plan.blocks:
        for reason in _reasons(plan, block):
            yield Refusal(block.name, block.nodes[0].op_type, reason)


def _reasons(plan: Plan, block: Block) -> Iterator[str]:
    tensors = [plan.values[name] for name in (*block.inputs, *block.outputs)]
    rank = max(graph.rank(value) or 0 for value in tensors)
    if rank > MAX_RANK:
        yield f"has {rank} axes, the runtime takes {MAX_RANK} at the most"
    batch = (graph.dims(tensors[0]) or (None,))[0]
    if block.node(*OVER_MAP) and isinstance(batch, int) and batch != 1:
        yield f"a batch of {batch}: the runtime takes one sample at a time"
    if block.node(*WEIGHTED):
        entrance = any(name in plan.inputs for name in block.inputs)
        weights = weight_spec(plan.target, plan.config, block, reads_input=entrance).dtype.bits
        output = activation_spec(plan.target, plan.config, block).dtype.bits
        if weights != output:
            yield f"weights of {weights} bits with activations of {output}: a layer has one width"


def shifted_right(layer: Layer, block: Block, context: Lowering) -> list[Layer]:
    """The layer with no negative shift: the chip only shifts accumulators to the right.

    An output that is finer than its accumulator loses nothing in the accumulator's own scale; a ``requantize``, which may
    shift to the left, then brings it to the scale that was chosen.
    """
    missing = -int(layer.constants["shift"].min())
    if missing <= 0:
        return [layer]
    (name,) = layer.outputs
    out = context.params[name]
    coarse = QuantParams(out.scale * 2.0**missing, out.dtype)
    made = f"{name}_coarse"
    context.define(made, name, coarse)
    constants = {**layer.constants, "shift": layer.constants["shift"] + missing}
    stage, attributes = requantization(context.target, coarse.scale, out)
    converter = Layer("requantize", (made,), (name,), stage, attributes, f"{block.name}_coarse", (block.name,))
    return [replace(layer, outputs=(made,), constants=constants), converter]


def warn_of_saturation(layer: Layer, block: Block, context: Lowering) -> None:
    """Tell the user of channels whose sum can leave the chip's accumulator, which then saturates; the simulators' does not."""
    source = context.params[layer.inputs[0]]
    bits = context.target.limits["accumulator_bits"][source.dtype.bits]
    channels = reach(layer, source.dtype.low, source.dtype.high)
    count = int((channels >= 1 << (bits - 1)).sum())
    if count:
        context.warnings.append(
            f"layer {block.name!r}: {count} of {channels.size} channels can exceed the {bits}-bit accumulator on extreme inputs"
        )


def reach(layer: Layer, low: int, high: int) -> NDArray[np.int64]:
    """The largest magnitude that any partial sum of each output channel can have with inputs from ``low`` to ``high``."""
    weight: NDArray[Any] = layer.constants["weight"].astype(np.int64)
    others = tuple(axis for axis in range(weight.ndim) if axis != CHANNELS[layer.op])
    bias = layer.constants["bias"]
    most = np.maximum(weight * high, weight * low).clip(min=0).sum(others) + np.maximum(bias, 0)
    least = np.minimum(weight * high, weight * low).clip(max=0).sum(others) + np.minimum(bias, 0)
    return np.asarray(np.maximum(most, -least))
