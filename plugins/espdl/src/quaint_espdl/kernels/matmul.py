"""The kernel of a product whose right operand lies in memory as packed weights do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from quaint_espdl.kernels.integers import matmul

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.arithmetic import Arithmetic, Kernel

V = TypeVar("V")


def packed_matmul(k: Arithmetic[V], x: V, y: V, *, group: int, shape: Sequence[int], **output: Any) -> V:
    """``x @ y`` with the elements of ``y`` in packed order under the dims [..., K, N].

    ``group`` columns lie side by side; those that fill no group, or all if ``group`` is 0, lie one by one.
    """
    sizes = [size or 1 for size in k.shape(y)]
    count, (rows, columns) = math.prod(sizes[:-2]), sizes[-2:]
    flat = k.reshape(y, [count, rows * columns])
    grouped = columns - columns % group if group else 0
    parts = []
    if grouped:
        side_by_side = k.reshape(k.gather(flat, range(rows * grouped), 1), [count, grouped // group, rows, group])
        parts.append(k.reshape(k.transpose(side_by_side, [0, 2, 1, 3]), [count, rows, grouped]))
    if grouped < columns:
        rest = k.gather(flat, range(rows * grouped, rows * columns), 1)
        parts.append(k.transpose(k.reshape(rest, [count, columns - grouped, rows]), [0, 2, 1]))
    whole = k.concat(parts, 2) if len(parts) > 1 else parts[0]
    return matmul(k, x, k.reshape(whole, sizes), shape=shape, **output)


PACKED: dict[str, Kernel] = {"PackedMatMul": packed_matmul}
