"""Operators that move numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.integer import Layer
from quaint.layers import patterns as core
from quaint.layers.output import requantization
from quaint.scales import Range
from quaint_espdl.patterns.widths import Observed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.patterns import Block, Builder, CheckContext


class Concat(Observed, core.Concat):
    """Tensors of one exponent, joined; the runtime joins no constants: they are added to borders of zeros."""

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        tensors = [place for place in range(len(block.bindings["xs"])) if place not in self.constants(block)]
        if any(after - before != 1 for before, after in pairwise(tensors)):
            return context.fail("joins a constant between tensors: the runtime takes it before or after them")
        return super().check(context, block=block, **bindings)

    def lower(self, block: Block, context: Lowering) -> list[Layer]:
        lowered = super().lower(block, context)
        *before, joined = (lowered,) if isinstance(lowered, Layer) else lowered
        return [*before, *(_bordered(joined, block, context) if joined.constants else [joined])]


def _bordered(joined: Layer, block: Block, context: Lowering) -> Iterator[Layer]:
    """Tensors and constants at the ends, joined: the tensors with borders of zeros, and the constants added to those."""
    axis, (name,) = joined.attributes["axis"], joined.outputs
    out, shape = context.params[name], context.shape(name)
    operands = [joined.constants.get(f"operand{place}") for place in range(len(block.bindings["xs"]))]
    first = [values for values in takewhile(lambda values: values is not None, operands) if values is not None]
    last = [values for values in operands[len(first) + len(joined.inputs) :] if values is not None]
    begin, end = _length(first, axis), _length(last, axis)
    inner = [*shape[:axis], int(shape[axis] or 0) - begin - end, *shape[axis + 1 :]]
    source = joined.inputs[0]
    if len(joined.inputs) > 1:
        source = f"{name}_joined"
        context.params[source], context.shapes[source] = out, tuple(inner)
        yield replace(joined, outputs=(source,), constants={}, name=f"{block.name}_joined")
    bordered = f"{name}_bordered"
    context.define(bordered, name, out)
    pads = [0] * (2 * len(shape))
    pads[axis], pads[len(shape) + axis] = begin, end
    attributes = {"pads": pads, "value": 0, "mode": "constant"}
    yield Layer("pad", (source,), (bordered,), {}, attributes, f"{block.name}_bordered")
    like = (first or last)[0]
    zeros = np.zeros([*like.shape[:axis], inner[axis], *like.shape[axis + 1 :]], like.dtype)
    context.params[f"{block.name}/constant"] = out
    stage, attributes = requantization(context.target, out.scale, out)
    yield Layer(
        "add", (bordered,), (name,), {**stage, "constant": np.concatenate([*first, zeros, *last], axis)}, attributes
    )


def _length(parts: Sequence[NDArray[Any]], axis: int) -> int:
    return sum(values.shape[axis] for values in parts)


class Move(Observed, core.Move):
    """Reshape, Flatten, Transpose; a file holds one sample, whose axes may come in any order.

    And Identity, which is left where the same numbers leave the model twice, or as they enter.
    """

    moves_batch = True

    def pattern(self, op: Builder, x: Any, shape: Any) -> Any:
        return *super().pattern(op, x, shape), op.Identity(x)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        if block.nodes[0].op_type != "Identity":
            return super().lower(block, context)
        return Layer("reshape", block.inputs, block.outputs, {}, {"shape": [0] * len(context.shape(block.outputs[0]))})


class Slice(Observed, core.Slice):
    """Part of a tensor; the runtime has no negative steps, which become a Gather."""


class Gather(Observed, core.Gather):
    """Entries by constant indices."""


class Repeat(Observed, core.Repeat):
    """Tile and Expand, as a Gather."""


class ReverseSequence(Observed, core.ReverseSequence):
    """Entries backwards, as a Gather."""


class ResizeNearest(Observed, core.ResizeNearest):
    """Pixels repeated; as a Gather where the runtime's Resize gives others, or nothing at all (16 bits)."""


class Pad(Observed, core.Pad):
    """Borders of a constant, mirrored or repeated."""

    modes = frozenset({"constant", "edge", "reflect"})

    def reach(self, block: Block, ranges: Mapping[str, Range]) -> Range | None:
        """An exponent that is rounded to the nearest cuts off a range by up to ``sqrt(2)``, but must hold the border."""
        held = super().reach(block, ranges)
        return held and Range(held.low * np.sqrt(2), held.high * np.sqrt(2))


class Pixels(Observed, core.Pixels):
    """DepthToSpace and SpaceToDepth."""


class WrittenOut(Observed, core.WrittenOut):
    """Reshape, Transpose and Reshape that amount to DepthToSpace, SpaceToDepth or a Gather of channels."""
