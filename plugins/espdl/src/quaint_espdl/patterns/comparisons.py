"""Comparisons of two tensors, or of a tensor and a constant: truth values at the end of a model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from quaint import graph
from quaint.integer import Layer
from quaint.layers.constants import check_constant, constant_range, constant_side, full_rank
from quaint.layers.sharing import Aligned
from quaint.numerics import IntType, QuantParams
from quaint.patterns import Sharing
from quaint.scales import from_range
from quaint_espdl.kernels.integers import RELATIONS
from quaint_espdl.patterns.widths import Observed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.patterns import Block, Builder, CheckContext

    Floats = NDArray[np.float64]

TRUTH = IntType(1, signed=False)

#: How ``x`` relates to a real number as it does to the number rounded so; for equality the nearest will do.
ROUNDINGS: dict[str, Callable[[Floats], Floats]] = {
    "greater": np.floor,
    "greater_or_equal": np.ceil,
    "less": np.ceil,
    "less_or_equal": np.floor,
    "equal": np.rint,
}


class Compare(Observed, Aligned):
    """A comparison of integers on one exponent, the larger one: 0 or 1, which no other layer of the chip takes in."""

    sharing = Sharing.NONE

    def pattern(self, op: Builder, x: Any, y: Any) -> Any:
        relation = op.one_of(*RELATIONS)(x, y)
        return op.Cast(relation), relation

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        result = block.nodes[-1].outputs[0]
        if result.uses() or not result.is_graph_output():
            return context.fail("gives truth values, which no other layer of the chip takes in")
        if result.dtype not in {ir.DataType.BOOL, ir.DataType.FLOAT}:
            return context.fail("its truth values leave as other numbers than 0.0 and 1.0")
        if any(block.bindings[name].dtype is not ir.DataType.FLOAT for name in "xy"):
            return context.fail("compares other numbers than reals")
        return check_constant(context, block)

    def derives(self, block: Block, name: str) -> bool:
        """The output is 0 or 1."""
        return True

    def lower(self, block: Block, context: Lowering) -> list[Layer]:
        context.refine(block.outputs[0], QuantParams(np.ones(()), TRUTH))
        side = constant_side(block)
        common = _common(block, context, side)
        layers, names = self.align(block, context, common)
        relation = RELATIONS[block.nodes[0].op_type][side == 0]
        constant = {} if side is None else {"constant": _constant(block, context, common, ROUNDINGS[relation])}
        return [*layers, Layer("Compare", names, block.outputs, constant, {"relation": relation})]


def _common(block: Block, context: Lowering, side: int | None) -> QuantParams:
    """The width and scale of both operands: the finest that hold the whole range of each."""
    operands = [context.params[name] for name in block.inputs]
    dtype = max((each.dtype for each in operands), key=lambda dtype: dtype.bits)
    if side is not None:
        spec = replace(context.target.activation, dtype=dtype, round_exponent="up")
        operands.append(from_range(spec, constant_range(block)))
    return QuantParams(max(each.scale * 2.0 ** (each.dtype.bits - dtype.bits) for each in operands), dtype)


def _constant(
    block: Block, context: Lowering, params: QuantParams, rounded: Callable[[Floats], Floats]
) -> NDArray[np.integer[Any]]:
    """The constant operand as integers of the output's rank; states them as ``LAYER/constant``."""
    context.params[f"{block.name}/constant"] = params
    values = full_rank(block.constant("xy"[constant_side(block) or 0]), graph.rank(block.nodes[0].outputs[0]) or 0)
    integers = rounded(values / params.scale).clip(params.dtype.low, params.dtype.high)
    return np.asarray(integers, params.dtype.storage)
