"""Kernels over whole axes: sums, means, largest and smallest integers. The batch, axis 0, is never one of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from quaint.layers.kernels import requantize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.arithmetic import Arithmetic, Kernel

V = TypeVar("V")


def reduce_sum(
    k: Arithmetic[V], x: V, *, axes: Sequence[int], keepdims: bool, input_zero_point: int = 0, **output: Any
) -> V:
    """Sum over ``axes``, then ``requantize``, whose multiplier or shift holds a mean's division."""
    x = k.subtract(x, input_zero_point) if input_zero_point else x
    return requantize(k, k.sum(x, axes, keepdims=keepdims), **output)


def reduce_max(k: Arithmetic[V], x: V, *, axes: Sequence[int], keepdims: bool, largest: bool) -> V:
    """Largest or smallest integer along ``axes``: max pooling over rows of all that is compared."""
    sizes = k.shape(x)
    kept = [axis for axis in range(len(sizes)) if axis not in axes]
    count = math.prod(sizes[axis] or 1 for axis in axes)
    sign = 1 if largest else -1
    rows = k.reshape(k.transpose(k.multiply(x, sign), [*kept, *axes]), [1, -1, count])
    found = k.max_pool(rows, kernel_shape=[count], strides=[1], pads=[0, 0], dilations=[1], ceil_mode=False)
    shape = [1 if axis in axes else -1 if size is None else size for axis, size in enumerate(sizes)]
    left = [size for axis, size in enumerate(shape) if keepdims or axis not in axes]
    return k.multiply(k.reshape(found, left), sign)


REDUCTIONS: dict[str, Kernel] = {kernel.__name__: kernel for kernel in (reduce_sum, reduce_max)}
