"""Operators on single elements."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.layers import patterns as core

if TYPE_CHECKING:
    from quaint.integer import Layer
    from quaint.lower import Lowering
    from quaint.patterns import Block
from quaint_espdl.patterns.widths import Observed, OneWidth


class Add(Observed, core.Add):
    """Sum or difference of tensors of one exponent, or of a tensor and a constant.

    In the file ReLU or Clip is a node of its own, so it is not drawn here.
    """

    def pattern(self, op: Any, x: Any, y: Any) -> Any:  # type: ignore[override]
        return op.one_of("Add", "Sub")(x, y)


class Mul(OneWidth, core.Mul):
    """Product; the runtime scales it in float32, which at 16 bits rounds before the chip does."""

    def lower(self, block: Block, context: Lowering) -> list[Layer]:
        *before, layer = super().lower(block, context)
        constants = dict(layer.constants)
        constants["multiplier"] = np.exp2(-constants.pop("shift")).astype(np.float32)
        return [*before, replace(layer, constants=constants)]


class Activation(Observed, core.Activation):
    """ReLU, or Clip as a table, on the input's exponent."""
