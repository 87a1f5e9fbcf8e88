"""Reductions over axes other than the batch, in the runtime's arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.integer import Layer
from quaint.layers import patterns as core
from quaint.layers.reductions import Reducing, geometry, reduced_count
from quaint_espdl.kernels.reductions import REDUCTIONS, whole_mean
from quaint_espdl.patterns.widths import Observed, OneWidth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.lower import Lowering
    from quaint.numerics import QuantParams
    from quaint.patterns import Block, Builder


def _axes_and_shape(block: Block, context: Lowering) -> dict[str, Any]:
    """What the kernels ask: the axes, and the output's shape with -1 for the batch."""
    shape = [-1 if size is None else size for size in context.shape(block.outputs[0])]
    return {"axes": geometry(block)["axes"], "shape": shape}


def _limits(context: Lowering, out: QuantParams) -> dict[str, Any]:
    return {"low": out.dtype.low, "high": out.dtype.high, "rounding": str(context.target.rounding)}


class Sum(Reducing):
    """Sum, shifted to the output's scale."""

    def pattern(self, op: Builder, x: Any, axes: Any) -> Any:
        return op.ReduceSum(x, axes)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        source, out = context.edges(block)
        given = _axes_and_shape(block, context) | _limits(context, out)
        shift = np.asarray(int(out.exponents) - int(source.exponents))
        return Layer("ReduceSum", block.inputs, block.outputs, {"shift": shift}, given)


class Mean(Reducing):
    """Mean, which the runtime takes in float32; in integers where that provably rounds to the same."""

    def pattern(self, op: Builder, x: Any, axes: Any) -> Any:
        return op.ReduceMean(x, axes)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        source, out = context.edges(block)
        given = _axes_and_shape(block, context) | _limits(context, out)
        left = int(source.exponents) - int(out.exponents)
        whole = whole_mean(reduced_count(block, context), left, source.dtype.bits, out.dtype.bits)
        if whole is not None:
            return Layer("ReduceSum", block.inputs, block.outputs, {"shift": np.zeros((), np.int64)}, given | whole)
        given |= {"scale": float(source.scale), "out_scale": float(out.scale)}
        return Layer("ReduceMean", block.inputs, block.outputs, {}, given)


class ReduceSum(OneWidth, Sum):
    """Sum of tensors of one width."""


class ReduceMean(OneWidth, Mean):
    """Mean of tensors of one width."""


class ReduceMax(Observed, core.ReduceMax):
    """Largest or smallest integer along axes."""


class GlobalMaxPool(Observed, core.GlobalMaxPool):
    """Max pooling with one window over the whole map: the runtime has no layer of its own for it."""


class OfPowers(Reducing):
    """Norms, products, sums of squares and logarithms of sums, in float32 after the sum of integers."""

    def pattern(self, op: Builder, x: Any, axes: Any) -> Any:
        return op.one_of(*REDUCTIONS)(x, axes)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        source, out = context.edges(block)
        function = block.nodes[0].op_type
        given = _axes_and_shape(block, context) | _limits(context, out)
        given |= {"function": function, "scale": float(source.scale), "out_scale": float(out.scale)}
        return Layer("Reduce", block.inputs, block.outputs, {}, given)


class Reduce(OneWidth, OfPowers):
    """Any other reduction of tensors of one width."""
