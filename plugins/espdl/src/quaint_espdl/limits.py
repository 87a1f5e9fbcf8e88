"""What the runtime and the chips cannot do: refused on the plan, or mended and warned of in the integers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from quaint import graph
from quaint.errors import QuaintError
from quaint.integer import Layer
from quaint.layers.output import requantization
from quaint.numerics import QuantParams
from quaint.refusals import Refusal
from quaint.specs import activation_spec, weight_spec
from quaint_espdl.runtime import chip_lacking, lacking, operators

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quaint.lower import Lowering
    from quaint.partition import Plan
    from quaint.patterns import Block

MAX_RANK = 4
#: Operators that slide over a map, which takes one sample at a time.
OVER_MAP = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool")
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "GRU", "LSTM")


def refusals(plan: Plan) -> Iterator[Refusal]:
    """What no layer may be, whatever pattern found it, and what the version of the runtime lacks.

    Raises:
        QuaintError: QT341 for a version that does not run on the chip.
    """
    version = plan.target.option(plan.config, "runtime")
    unfit = chip_lacking(version, plan.target.name)
    if unfit:
        raise QuaintError("QT341", unfit)
    for block in plan.blocks:
        for reason in (*_reasons(plan, block), *lacking(version, operators(block))):
            yield Refusal(block.name, block.nodes[0].op_type, reason)
    for node in plan.tail:
        for reason in lacking(version, [node.op_type]):
            yield Refusal(node.name or "", node.op_type, reason)


def _reasons(plan: Plan, block: Block) -> Iterator[str]:
    tensors = [plan.values[name] for name in (*block.inputs, *block.outputs)]
    rank = max(graph.rank(value) or 0 for value in tensors)
    if rank > MAX_RANK:
        yield f"has {rank} axes, the runtime takes {MAX_RANK} at the most: merge some with Reshape"
    batch = (graph.dims(tensors[0]) or (None,))[0]
    if block.node(*OVER_MAP) and isinstance(batch, int) and batch != 1:
        yield f"a batch of {batch}, the runtime takes one sample at a time: export the model with a batch of 1"
    if block.node(*WEIGHTED):
        entrance = any(name in plan.inputs for name in block.inputs)
        weights = weight_spec(plan.target, plan.config, block, reads_input=entrance).dtype.bits
        output = activation_spec(plan.target, plan.config, block).dtype.bits
        if weights != output:
            yield f"weights of {weights} bits with activations of {output}: a layer has one width, give it as bits"


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
