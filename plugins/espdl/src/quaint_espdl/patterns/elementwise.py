"""Operators on single elements."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.layers import patterns as core
from quaint.numerics import IntType
from quaint.specs import activation_spec

if TYPE_CHECKING:
    from quaint.integer import Layer
    from quaint.lower import Lowering
    from quaint.numerics import QuantSpec
    from quaint.patterns import Block, CheckContext
from quaint_espdl.patterns.widths import Observed, OneWidth

TABLE = IntType(8, signed=True)


class Add(Observed, core.Add):
    """Sum of tensors of one exponent; in the file ReLU or Clip is a node of its own, so it is not drawn here."""

    def pattern(self, op: Any, x: Any, y: Any) -> Any:  # type: ignore[override]
        return op.Add(x, y)


class Mul(OneWidth, core.Mul):
    """Product of two tensors; the runtime scales it in float32, which at 16 bits rounds before the chip does."""

    def lower(self, block: Block, context: Lowering) -> list[Layer]:
        *before, layer = super().lower(block, context)
        factor = np.exp2(-layer.constants["shift"]).astype(np.float32)
        return [*before, replace(layer, constants={"multiplier": factor})]


class Table(OneWidth, core.Table):
    """An elementwise function as a table of 256 entries, also where its neighbours have 16 bits."""

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        return super().output_spec(replace(spec, dtype=TABLE), block, context)

    def lower(self, block: Block, context: Lowering) -> list[Layer]:
        wish = activation_spec(context.target, context.config, block).dtype
        if wish != TABLE:
            context.warnings.append(f"layer {block.name!r}: as a table it has 8 bits, not {wish.bits}")
        return super().lower(block, context)


class Activation(Observed, core.Activation):
    """ReLU, or Clip as a table, on the input's exponent."""
