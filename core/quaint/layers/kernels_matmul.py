"""The kernel of products of two tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from quaint.layers import accumulators
from quaint.layers.kernels import requantize

if TYPE_CHECKING:
    from quaint.arithmetic import Arithmetic, Kernel
    from quaint.layers.accumulators import Bits

V = TypeVar("V")


def matmul(
    k: Arithmetic[V],
    x: V,
    y: V,
    *,
    x_zero_point: int = 0,
    y_zero_point: int = 0,
    accumulator_bits: Bits | None = None,
    accumulator_wraps: bool = False,
    **output: Any,
) -> V:
    """``x @ y`` over the last axis of ``x`` and the last but one of ``y``, real zero at 0, then ``requantize``."""
    x = k.subtract(x, x_zero_point) if x_zero_point else x
    y = k.subtract(y, y_zero_point) if y_zero_point else y
    acc = accumulators.matmul(k, x, y, accumulator_bits=accumulator_bits, accumulator_wraps=accumulator_wraps)
    return requantize(k, acc, **output)


MATMUL: dict[str, Kernel] = {"matmul": matmul}
