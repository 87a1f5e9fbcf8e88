"""Hard swish as a table: a layer of core's, found where the chip's own unit cannot run it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.patterns import Block, Builder, CheckContext, Pattern

if TYPE_CHECKING:
    from quaint.lower import Lowering


class HardSwishTable(Pattern):
    """Hard swish of a vector."""

    def pattern(self, op: Builder, x: Any) -> Any:
        """The operator by itself."""
        return op.HardSwish(x)

    def check(self, context: CheckContext, x: Any, **_: Any) -> bool:
        """Feature maps are left to the chip's unit."""
        return graph.rank(x) == 2 or context.fail("only vectors")

    def lower(self, block: Block, context: Lowering) -> Layer:
        """The function of every integer that may come in."""
        source, out = context.edges(block)
        low, high = source.dtype.low, source.dtype.high
        x = source.dequantize(np.arange(low, high + 1))
        table = out.quantize(x * np.clip(x / 6 + 0.5, 0, 1), context.target.rounding)
        return Layer("lookup", block.inputs, block.outputs, {"table": table}, {"low": low})
