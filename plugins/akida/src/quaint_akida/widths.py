"""Widths of a layer's output and buffers under the wishes, for all layers and for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quaint.numerics import IntType
from quaint.refusals import Excess

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from quaint.config import Config
    from quaint.partition import Plan
    from quaint.patterns import Block

#: Operators in a block that are neither its weights nor its activation function.
CARRIED = frozenset({"Flatten", "MaxPool"})


def output_type(block: Block, config: Config, bits: int, *, rectified: bool, last: bool = False) -> IntType:
    """Integers of a layer's output.

    They are unsigned where they have 4 bits or fewer, as on the chip, or after a ReLU fewer than 8.

    Args:
        block: the layer.
        config: the wishes.
        bits: after an activation function, as far as wishes for all layers go.
        rectified: whether the layer ends in a ReLU, bounded or not.
        last: whether it is the last layer.
    """
    given = config.for_layer(block.node_names)
    plain = config.last_output_bits if last and config.last_output_bits else config.output_bits or 8
    wished = given.get("activation_bits", given.get("bits"))
    width = int(wished or (bits if rectified else plain))
    return IntType(width, bool(given.get("signed", width > 4 and not (rectified and width < 8))) and width > 4)


def buffers(block: Block, config: Config, own: int = 28) -> dict[str, int]:
    """Bits of the accumulator and of what follows it, where they are fewer than the chip's ``own`` and 32.

    The accumulator is that of the node with the weights; what follows (scale-out) that of the activation function and of
    the average, the narrower one.
    """
    names = [node.name or "" for node in block.nodes if node.op_type not in CARRIED] or [block.name]
    behind = (names[1:] or names) if "weight" in block.bindings else names
    first, last = (_wished(config, part) for part in (names[:1], behind))
    found = {"buffer_bits": (first, own), "post_bits": (last, 32)}
    return {name: wish for name, (wish, most) in found.items() if wish is not None and wish < most}


def signs(dtype: IntType) -> dict[str, Any]:
    """The attribute that says that integers of more than 4 bits are unsigned."""
    return {} if dtype.signed == (dtype.bits > 4) else {"output_signed": dtype.signed}


def _wished(config: Config, names: Sequence[str]) -> int | None:
    given = [config.for_layer([name]).get("buffer_bits") for name in names]
    return min((bits for bits in given if bits is not None), default=config.buffer_bits)


def excesses(plan: Plan) -> Iterator[Excess]:
    """Widths of layers that the hardware lacks."""
    from quaint.specs import resolve_specs, weight_spec

    target, specs = plan.target, resolve_specs(plan)
    for block in plan.blocks:
        op_type, out = block.nodes[0].op_type, specs[block.outputs[0]]
        if "weight" in block.bindings:
            bits = weight_spec(target, plan.config, block, reads_input=plan.reads_input(block)).dtype.bits
            if bits not in target.weight_bits:
                yield Excess(block.name, op_type, f"weights of {bits} bits: take {_listed(target.weight_bits)}")
        if out is not None and out.dtype.bits not in target.activation_bits:
            yield Excess(block.name, op_type, f"an output of {out.dtype}: take {_listed(target.activation_bits)} bits")
            if buffers(block, plan.config):
                yield Excess(block.name, op_type, "a narrower buffer than the chip's: leave buffer_bits out")


def _listed(widths: Sequence[int]) -> str:
    return " or ".join(map(str, widths))
