"""The operations on integers that kernels are made of.

A kernel (see ``quaint.layers.kernels``) defines a layer as a few of these operations on an ``Arithmetic``. Written once, it
runs exactly in NumPy (the ``reference`` simulator) and is traced to stock ONNX operators (the ``onnxruntime`` simulator and
saved models), each of which proves its own exactness. Values are tensors of whole numbers of unlimited width: where a chip
wraps or saturates, the kernel says so with ``wrap`` or ``clip``.

Constants are integer arrays or Python integers. A vector (one axis) is laid along ``axis`` of the other operand; scalars and
constants of more axes broadcast as in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from quaint.numerics import Rounding

    Constant = NDArray[np.int64] | int
    Floats = NDArray[Any] | np.floating[Any]

V = TypeVar("V")


class Arithmetic(Protocol[V]):
    """Exact operations; ``V`` is a value: an int64 array, or a name in a graph being traced."""

    def shape(self, x: V) -> tuple[int | None, ...]:
        """Shape of ``x``; None for the batch."""

    # sums of products ------------------------------------------------------------------------------------------------
    def conv(
        self,
        x: V,
        weight: Constant,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        group: int,
    ) -> V:
        """Cross-correlation, [N, C, ...] with [M, C / group, ...]; borders count as zero (ONNX Conv without bias)."""

    def conv_transpose(
        self,
        x: V,
        weight: Constant,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        output_padding: Sequence[int],
        dilations: Sequence[int],
        group: int,
    ) -> V:
        """ONNX ConvTranspose without bias; weight is [C, M / group, ...]."""

    def matmul(self, x: V, y: V | Constant) -> V:
        """Matrix product over the last axis of ``x`` and the last but one of ``y``."""

    def saturating_conv(
        self,
        x: V,
        weight: Constant,
        start: Constant,
        *,
        low: Constant,
        high: Constant,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        group: int,
    ) -> V:
        """``conv`` added to ``start`` product by product, clipped to ``[low, high]`` at the start and after each.

        In the order of the kernel's positions (row-major), then of the input channels. Vectors lie along the channels.
        """

    def saturating_matmul(self, x: V, y: V | Constant, start: Constant, *, low: Constant, high: Constant) -> V:
        """``matmul`` added likewise, in the order of the axis that is summed over. Vectors lie along the last axis."""

    # elementwise -----------------------------------------------------------------------------------------------------
    def add(self, x: V, y: V | Constant, *, axis: int | None = None) -> V:
        """``x + y``."""

    def subtract(self, x: V, y: V | Constant, *, axis: int | None = None) -> V:
        """``x - y``."""

    def multiply(self, x: V, y: V | Constant, *, axis: int | None = None) -> V:
        """``x * y``."""

    def clip(self, x: V, low: Constant | None, high: Constant | None, *, axis: int | None = None) -> V:
        """``min(max(x, low), high)``: saturation, ReLU."""

    def wrap(self, x: V, bits: int) -> V:
        """``x`` modulo ``2**bits`` as a signed integer: an accumulator that overflows silently."""

    def shift_left(self, x: V, bits: Constant, *, axis: int | None = None) -> V:
        """``x * 2**bits``, bits >= 0."""

    def shift_right(self, x: V, bits: Constant, rounding: Rounding, *, axis: int | None = None) -> V:
        """``round(x * 2**-bits)``; negative bits shift left."""

    def divide(self, x: V, divisor: Constant, rounding: Rounding, *, axis: int | None = None) -> V:
        """``round(x / divisor)``, divisor > 0."""

    def scale_float32(self, x: V, factor: NDArray[np.float32], rounding: Rounding, *, axis: int | None = None) -> V:
        """``round(float32(x) * factor)`` in IEEE single precision: two roundings to nearest even, then ``rounding``."""

    def lookup(self, x: V, table: NDArray[Any], low: int) -> V:
        """``table[x - low]``; the caller guarantees ``low <= x < low + len(table)``. A table of floats gives reals."""

    def maximum(self, x: V, y: V) -> V:
        """The larger of two tensors, elementwise."""

    # windows and sums ------------------------------------------------------------------------------------------------
    def max_pool(
        self,
        x: V,
        *,
        kernel_shape: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        ceil_mode: bool,
    ) -> V:
        """Largest value of each window; borders never win."""

    def sum_pool(
        self, x: V, *, kernel_shape: Sequence[int], strides: Sequence[int], pads: Sequence[int], ceil_mode: bool
    ) -> V:
        """Sum of each window; borders count as zero."""

    def sum(self, x: V, axes: Sequence[int], *, keepdims: bool) -> V:
        """Sum over ``axes``."""

    def saturating_sum(self, x: V, axes: Sequence[int], low: int, high: int, *, keepdims: bool) -> V:
        """Sum over ``axes`` in row-major order, clipped to ``[low, high]`` after every addition."""

    # movement --------------------------------------------------------------------------------------------------------
    def reshape(self, x: V, shape: Sequence[int]) -> V:
        """ONNX Reshape with allowzero=0: 0 copies the input's size at that position, -1 is inferred."""

    def transpose(self, x: V, perm: Sequence[int]) -> V:
        """Axes in the order ``perm``."""

    def concat(self, xs: Sequence[V], axis: int) -> V:
        """Tensors joined along ``axis``."""

    def gather(self, x: V, indices: Sequence[int], axis: int) -> V:
        """The entries ``indices``, from 0 on, along ``axis``, in that order."""

    def pad(self, x: V, pads: Sequence[int], value: Constant, *, axis: int | None = None) -> V:
        """Borders of ``value`` around ``x``; ``pads`` as in ONNX (all begins, then all ends). A vector lies along ``axis``."""

    # reals: float32, or float64 where the kernel asks for it; no operation is fused with another --------------------------
    def is_real(self, x: V) -> bool:
        """Whether ``x`` holds reals."""

    def to_real(self, x: V | Constant, *, double: bool = False) -> V:
        """``x``, integers or reals, in float32 or float64: rounded to nearest even where it does not fit."""

    def real(self, operator: str, *xs: V | Floats) -> V:
        """An operator of ONNX on reals of one type, as IEEE 754 has it: one rounding to nearest even.

        Add, Sub, Mul, Div, Sqrt, Abs, Neg; Max and Min, which NaN passes, and which may give either of two zeros; Mod, which
        is C's ``fmod``. Constants are arrays of that type. They broadcast as in NumPy.
        """

    def accumulate(self, operator: str, x: V, axes: Sequence[int]) -> V:
        """``operator`` (Add, Mul, Max, Min) from one element to the next in row-major order; ``axes`` stay, of size 1."""

    def to_integer(self, x: V, low: int, high: int, rounding: Rounding) -> V:
        """``clip(round(x), low, high)`` of reals, infinities included; NaN is 0, which the limits must include."""

    # between reals and integers ---------------------------------------------------------------------------------------
    def quantize(
        self,
        x: V,
        factor: NDArray[np.float32],
        zero_point: Constant,
        low: int,
        high: int,
        rounding: Rounding,
        *,
        divide: bool,
        axis: int | None,
    ) -> V:
        """Float32 ``x`` to integers: ``clip(round(x * factor or x / factor in float32) + zero_point, low, high)``; NaN is low."""

    def dequantize(self, x: V, scale: NDArray[np.float32], zero_point: Constant, *, axis: int | None) -> V:
        """Integers to float32: ``float32(x - zero_point) * scale`` in IEEE single precision."""

    def host(self, xs: Sequence[V], model: NDArray[np.uint8]) -> tuple[V, ...]:
        """Float tensors through a float ONNX model (its serialized bytes) on the host; outputs in the model's order."""


#: A kernel: ``kernel(arithmetic, *inputs, **constants, **attributes)`` gives the layer's output, or a tuple of them.
Kernel = Callable[..., Any]
