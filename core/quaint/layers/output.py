"""What becomes of an accumulator: from its scale to the output's, for every kind of scale that a chip may have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.numerics import QuantParams, ScaleKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.patterns import Block
    from quaint.target import Target


def requantization(
    target: Target, acc_scale: NDArray[np.float64], out: QuantParams, clamp: tuple[float, float] | None = None
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Constants and attributes of ``quaint.layers.kernels.requantize``.

    Args:
        target: its scale kind and rounding decide the form: a shift where all scales are powers of two, a float32 multiplier
            for float scales, else an integer multiplier of ``limits["multiplier_bits"]`` bits (31) and a shift.
        acc_scale: real value of one step of the accumulator; a scalar or a vector over channels.
        out: the output.
        clamp: real bounds of a fused activation.

    Returns:
        Constants ``shift`` or ``multiplier`` (or both), and attributes.
    """
    ratio = np.asarray(acc_scale / out.scale)
    low, high = bounds(out, clamp)
    attributes = {"low": low, "high": high, "rounding": str(target.rounding), "zero_point": int(out.zero_point)}
    mantissa, exponent = np.frexp(ratio)
    if (mantissa == 0.5).all() and target.activation.scale is not ScaleKind.FLOAT:
        return {"shift": (1 - exponent).astype(np.int64)}, attributes
    if target.activation.scale is ScaleKind.FLOAT:
        factor = np.asarray(acc_scale, np.float32) / out.scale.astype(np.float32)  # two roundings, as runtimes have it
        return {"multiplier": np.asarray(factor, np.float32)}, attributes
    bits = target.limits.get("multiplier_bits", 31)
    multiplier = np.rint(np.ldexp(mantissa, bits)).astype(np.int64)
    return {"multiplier": multiplier, "shift": (bits - exponent).astype(np.int64)}, attributes


def bounds(out: QuantParams, clamp: tuple[float, float] | None) -> tuple[int, int]:
    """The integers between which an output lies: its type's, within the real bounds of a fused activation."""
    low, high = out.dtype.low, out.dtype.high
    if clamp is not None:
        first, last = (limit / float(out.scale) + int(out.zero_point) for limit in clamp)
        low = low if first == -math.inf else int(np.clip(round(first), low, high))
        high = high if last == math.inf else int(np.clip(round(last), low, high))
    return low, high


def clamp_of(block: Block) -> tuple[float, float] | None:
    """Real bounds of the block's Relu or Clip; None without one."""
    node = block.node("Relu", "Clip")
    if node is None:
        return None
    if node.op_type == "Relu":
        return 0.0, math.inf
    low, high = (graph.scalar(node.inputs[i]) if len(node.inputs) > i else None for i in (1, 2))
    return -math.inf if low is None else low, math.inf if high is None else high
