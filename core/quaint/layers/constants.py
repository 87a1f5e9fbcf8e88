"""Constants among the operands of a layer: tensors of their own, quantized once and for all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.scales import Range, from_range
from quaint.specs import activation_spec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.numerics import QuantParams
    from quaint.patterns import Block, CheckContext


def constant_side(block: Block) -> int | None:
    """Which operand of a binary layer (``x`` 0, ``y`` 1) is constant; None if both are tensors."""
    sides = [i for i, name in enumerate(("x", "y")) if graph.constant(block.bindings[name]) is not None]
    return sides[0] if sides else None


def check_constant(context: CheckContext, block: Block) -> bool:
    """Whether a constant operand, if any, is finite and the same for every sample."""
    side = constant_side(block)
    if side is None:
        return True
    tensor, values = block.bindings["xy"[1 - side]], graph.constant(block.bindings["xy"[side]])
    rank = graph.rank(tensor)
    assert values is not None
    if rank is None or values.ndim > rank or (values.ndim == rank > 0 and values.shape[0] != 1):
        return context.fail(f"a constant of shape {list(values.shape)} reaches into the batch")
    if not np.isfinite(values).all():
        return context.fail("a constant that is not finite")
    return True


def full_rank(values: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    """A constant with leading axes of size 1, as broadcasting has it."""
    return values.reshape((1,) * (rank - values.ndim) + values.shape)


def constant_range(block: Block) -> Range:
    """Least and largest value of the constant operand."""
    values = _values(block)
    return Range(values.min(), values.max())


def own_params(block: Block, context: Lowering, values: NDArray[np.float64]) -> QuantParams:
    """One scale for a constant, in the integers of the layer's output."""
    spec = replace(activation_spec(context.target, context.config, block), axis=None, round_exponent="up")
    spec = replace(spec, dtype=context.params[block.outputs[0]].dtype)
    return from_range(spec, Range(values.min(), values.max()))


def quantized_constant(block: Block, context: Lowering, params: QuantParams | None = None) -> dict[str, NDArray[Any]]:
    """The constant operand as integers of the output's rank; nothing if both operands are tensors.

    Args:
        block: a layer of two operands ``x`` and ``y``.
        context: learns of ``LAYER/constant``.
        params: how it shall be quantized; on a scale of its own if None.

    Returns:
        The kernel's constant.
    """
    if constant_side(block) is None:
        return {}
    values = full_rank(_values(block), len(context.shape(block.outputs[0])))
    params = params or own_params(block, context, values)
    context.params[f"{block.name}/constant"] = params
    return {"constant": params.quantize(values, context.target.rounding).astype(params.dtype.storage)}


def _values(block: Block) -> NDArray[np.float64]:
    side = constant_side(block)
    assert side is not None
    return block.constant("xy"[side])
