"""Kernels of the runtime's integer operations, channel last; what core has, in the runtime's layout, and what it lacks.

Formulas: ESP-DL 3.3.9, its C kernels and the rounding of each chip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quaint.layers import accumulators
from quaint.layers import kernels as core
from quaint.numerics import Rounding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Arithmetic, Kernel
    from quaint.layers.accumulators import Bits

    Ints = NDArray[np.int64]

V = TypeVar("V")

#: Comparison -> the relation that ``compare`` knows, and that with the operands exchanged.
RELATIONS = {
    "Greater": ("greater", "less"),
    "GreaterOrEqual": ("greater_or_equal", "less_or_equal"),
    "Less": ("less", "greater"),
    "LessOrEqual": ("less_or_equal", "greater_or_equal"),
    "Equal": ("equal", "equal"),
}


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
    k: Arithmetic[V],
    x: V,
    y: V | None = None,
    *,
    shape: Sequence[int],
    weight: Ints | None = None,
    accumulator_bits: Bits | None = None,
    accumulator_wraps: bool = False,
    **output: Any,
) -> V:
    """``x @ y`` of two tensors, or of one and a constant, then ``requantize``; vectors as in NumPy."""
    if len(k.shape(x)) == 1:
        x = k.reshape(x, [1, -1])
    if y is not None and len(k.shape(y)) == 1:
        y = k.reshape(y, [-1, 1])
    factor = weight if y is None else y
    assert factor is not None
    acc = accumulators.matmul(k, x, factor, accumulator_bits=accumulator_bits, accumulator_wraps=accumulator_wraps)
    return k.reshape(core.requantize(k, acc, **output), shape)


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


def wide_lookup(k: Arithmetic[V], x: V, *, table: Ints, bits: int, rounding: str) -> V:
    """The entry of a table of every ``2**bits``-th 16-bit integer that is nearest to ``x``."""
    place = k.shift_right(k.add(x, 1 << 15), bits, Rounding(rounding))
    return k.lookup(place, table, 0)


def scatter(k: Arithmetic[V], *xs: V, indices: Sequence[int], shape: Sequence[int]) -> V:
    """The elements of all inputs one after another, of which those at ``indices`` are taken."""
    flat = k.concat([k.reshape(x, [-1]) for x in xs], 0)
    return k.reshape(k.gather(flat, indices, 0), shape)


def scatter_constant(
    k: Arithmetic[V], *xs: V, indices: Sequence[int], constant: Ints, shape: Sequence[int], low: int, high: int
) -> V:
    """As ``scatter``; the index behind the last element stands for ``constant``, which is 0 everywhere else."""
    flat = k.pad(k.concat([k.reshape(x, [-1]) for x in xs], 0), [0, 1], 0)
    either = k.clip(k.add(k.gather(flat, indices, 0), constant, axis=0), low, high)  # at least one of the two is 0
    return k.reshape(either, shape)


def split(k: Arithmetic[V], x: V, *, axis: int, sizes: Sequence[int]) -> tuple[V, ...]:
    """Consecutive parts along an axis."""
    ends = np.cumsum(sizes).tolist()
    return tuple(k.gather(x, range(end - size, end), axis) for size, end in zip(sizes, ends, strict=True))


def nearest(
    k: Arithmetic[V],
    x: V,
    *,
    axes: Sequence[int],
    indices: Sequence[Sequence[int]],
    shift: int,
    rounding: str,
    bits: int,
) -> V:
    """Entries along some axes in another scale; the runtime's C code does not saturate, so what is too large wraps."""
    x = core.take(k, x, axes=axes, indices=indices)
    scaled = k.shift_right(x, shift, Rounding(rounding)) if shift > 0 else k.shift_left(x, -shift)
    return k.wrap(scaled, bits)


def insert_zeros(k: Arithmetic[V], x: V, *, indices: Sequence[Sequence[int]]) -> V:
    """Zeros between pixels: along each axis of the map, index ``size`` stands for a zero."""
    rank = len(k.shape(x))
    x = k.pad(x, [0] * rank + [0, *[1] * (rank - 2), 0], 0)
    for axis, chosen in enumerate(indices, 1):
        x = k.gather(x, chosen, axis)
    return x


MOVES: dict[str, Kernel] = {
    "Rearrange": core.rearrange,
    "Reshape": core.reshape,
    "Transpose": core.transpose,
    "Concat": core.concat,
    "Take": core.take,
    "Scatter": scatter,
    "Split": split,
}


INTEGER_KERNELS: dict[str, Kernel] = {
    **MOVES,
    **{f"Float{name}": kernel for name, kernel in MOVES.items()},
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
    "WideLookup": wide_lookup,
    "ScatterConstant": scatter_constant,
    "Pad": core.pad,
    "InsertZeros": insert_zeros,
    "Nearest": nearest,
    "QuantizeLinear": core.input_quantizer,
    "DequantizeLinear": core.dequantizer,
}
