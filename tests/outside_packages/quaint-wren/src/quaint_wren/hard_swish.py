"""A layer of Wren's own: how to find it, what the chip asks of it, and what it computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from quaint import graph
from quaint.integer import Layer
from quaint.layers.kernels import requantize
from quaint.layers.output import requantization
from quaint.patterns import Block, Builder, CheckContext, Pattern

if TYPE_CHECKING:
    from quaint.arithmetic import Arithmetic
    from quaint.lower import Lowering

V = TypeVar("V")


def hard_swish(k: Arithmetic[V], x: V, *, three: int, six: int, **output: Any) -> V:
    """``x * clip(x + three, 0, six)``, then ``requantize``; ``three`` and ``six`` are 3 and 6 on the scale of ``x``."""
    gate = k.clip(k.add(x, three), 0, six)
    return requantize(k, k.multiply(x, gate), **output)


class HardSwish(Pattern):
    """Hard swish of a feature map."""

    def pattern(self, op: Builder, x: Any) -> Any:
        """The operator by itself."""
        return op.HardSwish(x)

    def check(self, context: CheckContext, x: Any, **_: Any) -> bool:
        """The unit reads feature maps."""
        return graph.rank(x) == 4 or context.fail("the unit takes feature maps only")

    def lower(self, block: Block, context: Lowering) -> Layer:
        """The division by six belongs to the requantization: of ``scale * scale / 6`` to the scale of the output."""
        source, out = context.edges(block)
        stage, attributes = requantization(context.target, source.scale**2 / 6, out)
        attributes |= {"three": round(3 / float(source.scale)), "six": round(6 / float(source.scale))}
        return Layer("hard_swish", block.inputs, block.outputs, stage, attributes)
