"""Borders around a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers.movement import Moving, on_scale, parameters_are_constant
from quaint.layers.selection import parameter, sizes
from quaint.scales import Range

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from quaint.lower import Lowering
    from quaint.patterns import Block, Builder, CheckContext


class Pad(Moving):
    """Borders of a constant, or of entries of the tensor: the nearest, mirrored, or from the other end."""

    modes = frozenset({"constant", "edge", "reflect", "wrap"})

    def pattern(self, op: Builder, x: Any, *parameters: Any) -> Any:
        return op.Pad(x, *parameters)

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        if self.mode(block) not in self.modes:
            return context.fail(f"borders by {self.mode(block)!r}")
        if not parameters_are_constant(context, block):
            return False
        pads, size = self.pads(block), sizes(block)
        if min(pads) < 0:
            return context.fail(f"cuts off: borders of {pads}")
        if pads[0] or pads[len(size)]:
            return context.fail("adds samples to a batch")
        if self.mode(block) == "constant":
            return bool(np.isfinite(self.value(block))) or context.fail(f"a border of {self.value(block)}")
        widest = [max(ends) for ends in zip(pads[: len(size)], pads[len(size) :], strict=True)]
        if self.mode(block) != "edge" and any(n >= most for n, most in zip(widest, size, strict=True)):
            return context.fail(f"borders of {pads} that are wider than the map")
        return True

    def mode(self, block: Block) -> str:
        """What the borders consist of."""
        return str(graph.attribute(block.nodes[0], "mode", "constant"))

    def value(self, block: Block) -> float:
        """The constant around."""
        value = parameter(block, 2)
        return 0.0 if value is None or self.mode(block) != "constant" else float(value.reshape(-1)[0])

    def pads(self, block: Block) -> list[int]:
        """All begins, then all ends, of every axis."""
        given, axes = parameter(block, 1), parameter(block, 3)
        assert given is not None
        rank, half = len(sizes(block)), len(given) // 2
        places = range(rank) if axes is None else [int(axis) % rank for axis in axes]
        pads = [0] * (2 * rank)
        for i, axis in enumerate(places):
            pads[axis], pads[rank + axis] = int(given[i]), int(given[half + i])
        return pads

    def reach(self, block: Block, ranges: Mapping[str, Range]) -> Range | None:
        """The border is on the tensor's scale."""
        value = np.asarray(self.value(block))
        return Range(value, value) if value else None

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        real, out = self.value(block), context.params[block.outputs[0]]
        value = int(on_scale(real, out, context.target.rounding))
        held = float(out.dequantize(np.asarray(value)))
        if abs(held - real) > float(out.scale):
            context.warnings.append(f"layer {block.name!r}: its border of {real:g} saturates to {held:g}")
        attributes = {"pads": self.pads(block), "value": value, "mode": self.mode(block)}
        return Layer("pad", block.inputs, block.outputs, {}, attributes)
