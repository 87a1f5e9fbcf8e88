"""The operations of kernels in NumPy, exact: int64 arrays, and an ``OverflowError`` where 64 bits might not do.

Sums of products run in float32 or float64 (so, in BLAS) where a bound on the data shows every partial sum to be a whole
number that the type holds; the result is then the same integer, in whatever order the terms were added.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.numerics import Rounding
from quaint.simulators import saturating, windows
from quaint.simulators.exact_reals import ExactReals
from quaint.simulators.windows import limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnxruntime as ort
    from numpy.typing import NDArray

    Array = NDArray[Any]


def laid(constant: Array | int, rank: int, axis: int | None) -> Array:
    """``constant`` as int64, a vector laid along ``axis`` of ``rank`` axes."""
    return _laid(np.asarray(constant, np.int64), rank, axis)


def _laid(constant: Array, rank: int, axis: int | None) -> Array:
    if constant.ndim != 1 or axis is None:
        return constant
    shape = [1] * rank
    shape[axis] = -1
    return constant.reshape(shape)


def _checked(operation: np.ufunc, x: Array, y: Array) -> Array:
    """``operation`` on int64 arrays if no result passes 64 bits."""
    bound = limit(x) * limit(y) if operation is np.multiply else limit(x) + limit(y)
    if bound >= 1 << 63:  # the largest of both need not meet: look at each result
        estimate = np.asarray(operation(x.astype(np.float64), y.astype(np.float64)))
        if np.abs(estimate).max() >= 2.0**63 * (1 - 2.0**-50):  # the margin covers the roundings of the estimate
            raise OverflowError(f"{operation.__name__}: a result does not fit 64 bits")
    return np.asarray(operation(x, y))


def _increment(rounding: Rounding, floor: Array, half: Array, below: Array, x: Array) -> Array:
    """Whether to add 1 to ``floor``: the fraction of ``x`` is a half if ``half``, plus some less than that if ``below``."""
    up: Array
    match rounding:
        case Rounding.FLOOR:
            up = np.zeros_like(half)
        case Rounding.CEIL:
            up = half | below
        case Rounding.HALF_UP:
            up = half
        case Rounding.HALF_EVEN:
            up = half & (below | (floor & 1).astype(bool))
        case Rounding.HALF_AWAY:
            up = half & (below | (x >= 0))
    return up


def _whole(x: Array, rounding: Rounding) -> Array:
    """Floats rounded to int64; the float64 that ``Rounding`` works in holds every float32 and its fraction exactly."""
    rounded = rounding.round(x)
    if not (np.abs(rounded) < 2.0**63).all():
        raise OverflowError("a scaled value does not fit 64 bits")
    return rounded.astype(np.int64)


@lru_cache(maxsize=16)
def _session(model: bytes) -> ort.InferenceSession:
    """A session for a serialized ONNX model, on one thread."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Exact(ExactReals):
    """``Arithmetic`` on arrays: int64 for integers, float32 for reals. See the protocol for what each operation means.

    Raises:
        OverflowError: from any operation of which a result could pass 64 bits. That is a bug in a kernel or its layer:
            chips saturate or wrap long before.
    """

    def shape(self, x: Array) -> tuple[int | None, ...]:
        """Shape of ``x``."""
        return x.shape

    def conv(
        self,
        x: Array,
        weight: Array | int,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        group: int,
    ) -> Array:
        """ONNX Conv without bias, any number of spatial axes."""
        return windows.conv(x, np.asarray(weight, np.int64), strides, pads, dilations, group)

    def conv_transpose(
        self,
        x: Array,
        weight: Array | int,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        output_padding: Sequence[int],
        dilations: Sequence[int],
        group: int,
    ) -> Array:
        """ONNX ConvTranspose without bias, any number of spatial axes."""
        weight = np.asarray(weight, np.int64)
        return windows.conv_transpose(x, weight, strides, pads, output_padding, dilations, group)

    def matmul(self, x: Array, y: Array | int) -> Array:
        """Matrix product."""
        return windows.matmul(x, np.asarray(y, np.int64))

    saturating_conv = staticmethod(saturating.conv)
    saturating_matmul = staticmethod(saturating.matmul)

    def add(self, x: Array, y: Array | int, *, axis: int | None = None) -> Array:
        """``x + y``."""
        return _checked(np.add, x, laid(y, x.ndim, axis))

    def subtract(self, x: Array, y: Array | int, *, axis: int | None = None) -> Array:
        """``x - y``."""
        return _checked(np.subtract, x, laid(y, x.ndim, axis))

    def multiply(self, x: Array, y: Array | int, *, axis: int | None = None) -> Array:
        """``x * y``."""
        return _checked(np.multiply, x, laid(y, x.ndim, axis))

    def clip(self, x: Array, low: Array | int | None, high: Array | int | None, *, axis: int | None = None) -> Array:
        """``min(max(x, low), high)``."""
        if low is not None:
            x = np.maximum(x, laid(low, x.ndim, axis))
        return x if high is None else np.minimum(x, laid(high, x.ndim, axis))

    def wrap(self, x: Array, bits: int) -> Array:
        """``x`` modulo ``2**bits``, signed: the upper bits are shifted out and the sign is shifted back in."""
        unused = 64 - bits
        return (x.view(np.uint64) << np.uint64(unused)).view(np.int64) >> unused

    def shift_left(self, x: Array, bits: Array | int, *, axis: int | None = None) -> Array:
        """``x * 2**bits``."""
        bits = laid(bits, x.ndim, axis)
        shifted = np.left_shift(x, bits)
        if (np.right_shift(shifted, bits) != x).any():
            raise OverflowError("shift_left: a result does not fit 64 bits")
        return shifted

    def shift_right(self, x: Array, bits: Array | int, rounding: Rounding, *, axis: int | None = None) -> Array:
        """``round(x * 2**-bits)``; exact for any number of bits, since NumPy shifts by 64 and more as it should."""
        bits = laid(bits, x.ndim, axis)
        if (bits < 0).any():
            x, bits = self.shift_left(x, np.maximum(-bits, 0)), np.maximum(bits, 0)
        floor = np.asarray(x >> bits)
        if rounding is Rounding.FLOOR:
            return floor
        under = np.maximum(bits - 1, 0)  # as if doubled: the lowest bit is the half, the rest is what lies below
        doubled = x >> under
        half = (doubled & 1).astype(bool) & (bits > 0)
        below = (doubled << under) != x
        return floor + _increment(rounding, floor, half, below, x)

    def divide(self, x: Array, divisor: Array | int, rounding: Rounding, *, axis: int | None = None) -> Array:
        """``round(x / divisor)``."""
        divisor = laid(divisor, x.ndim, axis)
        floor, rest = np.divmod(x, divisor)
        missing = divisor - rest
        half = np.asarray(rest >= missing)
        return floor + _increment(rounding, floor, half, (rest > 0) & (rest != missing), x)

    def scale_float32(
        self, x: Array, factor: NDArray[np.float32], rounding: Rounding, *, axis: int | None = None
    ) -> Array:
        """``round(float32(x) * factor)`` in IEEE single precision."""
        return _whole(x.astype(np.float32) * _laid(factor, x.ndim, axis), rounding)

    def lookup(self, x: Array, table: Array, low: int) -> Array:
        """``table[x - low]``.

        Raises:
            IndexError: if an integer lies outside the table.
        """
        index = x - low
        if index.size and index.min() < 0:
            raise IndexError(f"lookup: {x.min()} lies below the table, which starts at {low}")
        return np.asarray(table[index] if table.dtype.kind == "f" else np.asarray(table, np.int64)[index])

    def maximum(self, x: Array, y: Array) -> Array:
        """The larger of two tensors."""
        return np.asarray(np.maximum(x, y))

    def max_pool(
        self,
        x: Array,
        *,
        kernel_shape: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        ceil_mode: bool,
    ) -> Array:
        """Largest value of each window."""
        lowest = int(np.iinfo(np.int64).min)
        return windows.pool(np.maximum, x, lowest, kernel_shape, strides, pads, dilations, ceil_mode)

    def sum_pool(
        self, x: Array, *, kernel_shape: Sequence[int], strides: Sequence[int], pads: Sequence[int], ceil_mode: bool
    ) -> Array:
        """Sum of each window."""
        windows.sum_dtype(limit(x) * int(np.prod(kernel_shape)))
        return windows.pool(np.add, x, 0, kernel_shape, strides, pads, [1] * len(kernel_shape), ceil_mode)

    def sum(self, x: Array, axes: Sequence[int], *, keepdims: bool) -> Array:
        """Sum over ``axes``."""
        windows.sum_dtype(limit(x) * int(np.prod([x.shape[axis] for axis in axes])))
        return np.asarray(x.sum(tuple(axes), keepdims=keepdims))

    def saturating_sum(self, x: Array, axes: Sequence[int], low: int, high: int, *, keepdims: bool) -> Array:
        """Sum over ``axes`` from 0, clipped after every addition."""
        axes = sorted(axis % x.ndim for axis in axes)
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        terms = x.transpose(*axes, *kept).reshape(-1, *(x.shape[axis] for axis in kept))
        total = np.zeros(terms.shape[1:], np.int64)
        for term in terms:
            total = np.clip(_checked(np.add, total, term), low, high)
        return np.expand_dims(total, tuple(axes)) if keepdims else total

    def reshape(self, x: Array, shape: Sequence[int]) -> Array:
        """ONNX Reshape."""
        return x.reshape([size or x.shape[i] for i, size in enumerate(shape)])

    def transpose(self, x: Array, perm: Sequence[int]) -> Array:
        """Axes in the order ``perm``."""
        return x.transpose(perm)

    def concat(self, xs: Sequence[Array], axis: int) -> Array:
        """Tensors joined along ``axis``."""
        return np.concatenate(xs, axis)

    def gather(self, x: Array, indices: Sequence[int], axis: int) -> Array:
        """Entries along ``axis``."""
        return np.take(x, indices, axis)

    def pad(self, x: Array, pads: Sequence[int], value: Array | int, *, axis: int | None = None) -> Array:
        """Borders of ``value``."""
        return windows.bordered(x, pads, laid(value, x.ndim, axis), np.int64)

    def quantize(
        self,
        x: Array,
        factor: NDArray[np.float32],
        zero_point: Array | int,
        low: int,
        high: int,
        rounding: Rounding,
        *,
        divide: bool,
        axis: int | None,
    ) -> Array:
        """Reals to integers; what overflows float32 or is infinite saturates, NaN is ``low``."""
        factor = _laid(factor, x.ndim, axis)
        with np.errstate(over="ignore"):
            scaled = x.astype(np.float32) / factor if divide else x.astype(np.float32) * factor
        bounded = np.clip(np.nan_to_num(scaled, nan=-np.inf), -(2.0**62), 2.0**62)  # past any range, yet int64
        shifted = _whole(bounded, rounding) + laid(zero_point, x.ndim, axis)
        return np.where(np.isnan(scaled), low, np.clip(shifted, low, high))

    def dequantize(self, x: Array, scale: NDArray[np.float32], zero_point: Array | int, *, axis: int | None) -> Array:
        """Integers to float32."""
        return self.subtract(x, zero_point, axis=axis).astype(np.float32) * _laid(scale, x.ndim, axis)

    def host(self, xs: Sequence[Array], model: NDArray[np.uint8]) -> tuple[Array, ...]:
        """A float ONNX model in onnxruntime."""
        session = _session(model.tobytes())
        names = [value.name for value in session.get_inputs()]
        return tuple(session.run(None, dict(zip(names, xs, strict=True))))
