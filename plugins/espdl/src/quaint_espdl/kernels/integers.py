"""Kernels of the runtime's integer operations, channel last; what core has, in the runtime's layout, and what it lacks.

Formulas: ESP-DL 3.3.9, its C kernels and the rounding of each chip.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quaint.layers import kernels as core
from quaint.numerics import Rounding
from quaint.simulators.exact import Exact
from quaint_espdl.kernels.floats import on_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Arithmetic, Kernel

    Ints = NDArray[np.int64]

V = TypeVar("V")


def _channel_first(k: Arithmetic[V], x: V) -> V:
    rank = len(k.shape(x))
    return k.transpose(x, [0, rank - 1, *range(1, rank - 1)])


def _channel_last(k: Arithmetic[V], x: V) -> V:
    rank = len(k.shape(x))
    return k.transpose(x, [0, *range(2, rank), 1])


def over_map(kernel: Callable[..., V]) -> Callable[..., V]:
    """A kernel of core on channel-last maps."""

    def moved(k: Arithmetic[V], x: V, **options: Any) -> V:
        """As core's kernel, on a map whose channels come last."""
        return _channel_last(k, kernel(k, _channel_first(k, x), **options))

    return moved


def matmul(
    k: Arithmetic[V], x: V, y: V | None = None, *, shape: Sequence[int], weight: Ints | None = None, **output: Any
) -> V:
    """``x @ y`` of two tensors, or of one and a constant, then ``requantize``; vectors as in NumPy."""
    if len(k.shape(x)) == 1:
        x = k.reshape(x, [1, -1])
    if y is not None and len(k.shape(y)) == 1:
        y = k.reshape(y, [-1, 1])
    factor = weight if y is None else y
    assert factor is not None
    return k.reshape(core.requantize(k, k.matmul(x, factor), **output), shape)


def _operand(y: V | None, constant: Ints | None) -> Any:
    return constant if y is None else y


def add(k: Arithmetic[V], x: V, y: V | None = None, *, constant: Ints | None = None, low: int, high: int) -> V:
    """``clip(x + y)``; the runtime adds raw integers."""
    return k.clip(k.add(x, _operand(y, constant)), low, high)


def subtract(
    k: Arithmetic[V],
    x: V,
    y: V | None = None,
    *,
    constant: Ints | None = None,
    from_constant: bool = False,
    low: int,
    high: int,
) -> V:
    """``clip(x - y)``, or ``clip(constant - x)``."""
    if from_constant:
        return k.clip(k.add(k.multiply(x, -1), _operand(None, constant)), low, high)
    return k.clip(k.subtract(x, _operand(y, constant)), low, high)


def multiply(k: Arithmetic[V], x: V, y: V | None = None, *, constant: Ints | None = None, **output: Any) -> V:
    """``x * y``, then ``requantize``: by a shift, or by a float32 multiplier where the runtime's C code has one."""
    return core.requantize(k, k.multiply(x, _operand(y, constant)), **output)


def clip(k: Arithmetic[V], x: V, *, least: int, most: int, **output: Any) -> V:
    """``x`` within limits of its own scale, then ``requantize``."""
    return core.requantize(k, k.clip(x, least, most), **output)


def compare(k: Arithmetic[V], x: V, y: V | None = None, *, constant: Ints | None = None, relation: str) -> V:
    """1 where ``x`` stands in ``relation`` to ``y``, else 0; raw integers."""
    difference = k.subtract(x, _operand(y, constant))
    at_least = k.clip(k.add(difference, 1), 0, 1)
    match relation:
        case "greater":
            return k.clip(difference, 0, 1)
        case "greater_or_equal":
            return at_least
        case "less":
            return k.add(k.multiply(at_least, -1), 1)
        case "less_or_equal":
            return k.add(k.multiply(k.clip(difference, 0, 1), -1), 1)
        case _:
            return k.clip(k.subtract(at_least, k.clip(difference, 0, 1)), 0, 1)


def extreme(
    k: Arithmetic[V], x: V, y: V | None = None, *, constant: Ints | None = None, largest: bool, low: int, high: int
) -> V:
    """The larger or smaller of two, elementwise."""
    sign = 1 if largest else -1
    x = k.multiply(x, sign)
    if y is None:
        assert constant is not None
        chosen = k.clip(x, sign * constant, None)
    else:
        chosen = k.maximum(x, k.multiply(y, sign))
    return k.clip(k.multiply(chosen, sign), low, high)


def reduce_sum(
    k: Arithmetic[V], x: V, *, axes: Sequence[int], shape: Sequence[int], divisor: int = 1, left: int = 0, **output: Any
) -> V:
    """``sum(x) * 2**left / divisor`` rounded, then ``requantize``."""
    total = k.shift_left(k.sum(x, axes, keepdims=True), left)
    if divisor != 1:
        total = k.divide(total, divisor, Rounding(output["rounding"]))
    return k.reshape(core.requantize(k, total, **output), shape)


def reduce_max(k: Arithmetic[V], x: V, *, axes: Sequence[int], shape: Sequence[int], largest: bool) -> V:
    """The largest or smallest integer along ``axes``: a window over all of them."""
    sizes = [size or 1 for size in k.shape(x)]
    kept = [axis for axis in range(len(sizes)) if axis not in axes]
    count = int(np.prod([sizes[axis] for axis in axes]))
    sign = 1 if largest else -1
    rows = k.reshape(k.transpose(k.multiply(x, sign), [*kept, *axes]), [1, -1, count])
    window = {"kernel_shape": [count], "strides": [1], "pads": [0, 0], "dilations": [1]}
    return k.multiply(k.reshape(k.max_pool(rows, ceil_mode=False, **window), shape), sign)


def prelu(
    k: Arithmetic[V], x: V, *, slope: Ints, shift: int, slope_shift: int, low: int, high: int, rounding: str
) -> V:
    """``x`` or, where negative, ``x * slope`` of the channel (the last axis), each shifted to the output's scale."""
    positive = k.shift_right(k.clip(x, 0, None), shift, Rounding(rounding))
    sloped = k.multiply(k.clip(x, None, 0), slope, axis=len(k.shape(x)) - 1)
    return k.clip(k.add(positive, k.shift_right(sloped, slope_shift, Rounding(rounding))), low, high)


def wide_lookup(k: Arithmetic[V], x: V, *, table: Ints, bits: int, rounding: str) -> V:
    """The entry of a table of every ``2**bits``-th 16-bit integer that is nearest to ``x``."""
    place = k.shift_right(k.add(x, 1 << 15), bits, Rounding(rounding))
    return k.lookup(place, table, 0)


def rearrange(k: Arithmetic[V], x: V, *, split: Sequence[int], perm: Sequence[int], shape: Sequence[int]) -> V:
    """Axes split to the sizes ``split``, put in the order ``perm``, joined to ``shape``."""
    return k.reshape(k.transpose(k.reshape(x, split), perm), shape)


def take(k: Arithmetic[V], x: V, *, axes: Sequence[int], indices: Sequence[Sequence[int]], shape: Sequence[int]) -> V:
    """Entries along some axes, each a list of indices."""
    for axis, chosen in zip(axes, indices, strict=True):
        x = k.gather(x, chosen, axis)
    return k.reshape(x, shape)


def scatter(k: Arithmetic[V], *xs: V, indices: Sequence[int], shape: Sequence[int]) -> V:
    """The elements of all inputs one after another, of which those at ``indices`` are taken."""
    flat = k.concat([k.reshape(x, [-1]) for x in xs], 0)
    return k.reshape(k.gather(flat, indices, 0), shape)


def split(k: Arithmetic[V], x: V, *, axis: int, sizes: Sequence[int]) -> tuple[V, ...]:
    """Consecutive parts along an axis."""
    ends = np.cumsum(sizes).tolist()
    return tuple(k.gather(x, range(end - size, end), axis) for size, end in zip(sizes, ends, strict=True))


def pad(k: Arithmetic[V], x: V, *, pads: Sequence[int], value: int) -> V:
    """Borders of ``value``; all begins, then all ends."""
    return k.pad(x, pads, value)


def insert_zeros(k: Arithmetic[V], x: V, *, indices: Sequence[Sequence[int]]) -> V:
    """Zeros between pixels: along each axis of the map, index ``size`` stands for a zero."""
    rank = len(k.shape(x))
    x = k.pad(x, [0] * rank + [0, *[1] * (rank - 2), 0], 0)
    for axis, chosen in enumerate(indices, 1):
        x = k.gather(x, chosen, axis)
    return x


MOVES: dict[str, Kernel] = {
    "Rearrange": rearrange,
    "Reshape": core.reshape,
    "Transpose": core.transpose,
    "Concat": core.concat,
    "Take": take,
    "Scatter": scatter,
    "Split": split,
}


def on_floats(kernel: Kernel) -> Kernel:
    """A kernel that moves numbers, on floats."""
    return on_arrays(partial(kernel, Exact()))


INTEGER_KERNELS: dict[str, Kernel] = {
    **MOVES,
    **{f"Float{name}": on_floats(kernel) for name, kernel in MOVES.items()},
    "Conv": over_map(core.conv),
    "AveragePool": over_map(core.average_pool),
    "GlobalAveragePool": over_map(core.global_average_pool),
    "MaxPool": over_map(core.max_pool),
    "MatMul": matmul,
    "Add": add,
    "Sub": subtract,
    "Mul": multiply,
    "Clip": clip,
    "Compare": compare,
    "Extreme": extreme,
    "ReduceSum": reduce_sum,
    "ReduceMax": reduce_max,
    "PRelu": prelu,
    "WideLookup": wide_lookup,
    "Pad": pad,
    "InsertZeros": insert_zeros,
    "QuantizeLinear": core.input_quantizer,
    "DequantizeLinear": core.dequantizer,
}
