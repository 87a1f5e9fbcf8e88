"""Layers of transformers in integers, as QuantizeML 0.7 defined them: tensors are [batch, tokens, channels].

Values are fixed-point: an integer ``v`` with ``frac_bits`` stands for ``v * 2**-frac_bits``. Sums saturate at ``buffer_bits``.
A layer ends in an output quantizer: a shift to the right, half up, saturated to signed ``output_bits``.
Source: QuantizeML's first user guide; Cardarilli et al., "A pseudo-softmax function for hardware-based high speed image
classification", Sci. Rep. 11, 15307 (2021).
"""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quaint.layers.kernels_reductions import reduce_max
from quaint.numerics import IntType, Rounding
from quaint_akida.akida2_kernels import saturate, shifted_add

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.arithmetic import Arithmetic

    Array = NDArray[np.int64]

V = TypeVar("V")

#: Fractional bits of a Shiftmax, QuantizeML's ``exp_bitwidth``.
EXP_BITS = 10


def _powers(bits: int) -> Array:
    """Zero, and the powers of two from 0 to ``bits``: a table that is read from -1 on."""
    return np.array([0, *(1 << n for n in range(bits + 1))], np.int64)


def _quantized(k: Arithmetic[V], x: V, *, output_shift: int, output_bits: int = 8) -> V:
    """The output quantizer."""
    return saturate(k, k.shift_right(x, output_shift, Rounding.HALF_UP), output_bits, signed=True)


def _aligned(k: Arithmetic[V], x: V, shift: int, buffer_bits: int) -> V:
    """``x`` with the fractional bits of a constant, which has more."""
    return saturate(k, k.shift_left(x, shift), buffer_bits, signed=True)


def _round_log2(k: Arithmetic[V], x: V, low: int, high: int) -> V:
    """The whole number nearest to ``log2(x)``, for ``2**low <= x <= high``: thresholds are counted.

    They are ``2**(n + 1/2)``, no whole numbers, so that nothing lies half-way.
    """
    thresholds = [isqrt(1 << (2 * n + 1)) + 1 for n in range(low, high.bit_length())]
    passed = [k.clip(k.subtract(x, least - 1), 0, 1) for least in thresholds if least <= high]
    total = k.clip(x, low, low)
    for one in passed:
        total = k.add(total, one)
    return total


def shiftmax(k: Arithmetic[V], x: V, *, frac_bits: int, exp_bits: int = EXP_BITS, buffer_bits: int = 32) -> V:
    """Softmax in powers of two over the last axis: ``exp_bits`` fractional bits, from 0 to one inclusive.

    Both exponentials and the shift that divides by the sum's nearest power of two are read from tables: their arguments are
    bounded, and what is shifted out is zero.

    Args:
        k: the operations.
        x: fixed-point values.
        frac_bits: of ``x``.
        exp_bits: fractional bits of the exponentials and the result.
        buffer_bits: more than twice ``exp_bits``.
    """
    axis = len(k.shape(x)) - 1
    whole = saturate(k, k.shift_right(x, frac_bits, Rounding.FLOOR), buffer_bits, signed=True)
    largest = reduce_max(k, whole, axes=[axis], keepdims=True, largest=True)
    exponent = k.clip(k.add(k.subtract(whole, largest), 2 * exp_bits), -1, 2 * exp_bits)
    powers = k.lookup(exponent, _powers(2 * exp_bits), -1)
    limit = min(IntType(buffer_bits, signed=True).high, (k.shape(x)[axis] or 1) << 2 * exp_bits)
    total = k.clip(k.sum(powers, [axis], keepdims=True), 1 << 2 * exp_bits, limit)
    divisor = _round_log2(k, total, 2 * exp_bits, limit)
    quotient = k.clip(k.add(k.subtract(exponent, divisor), exp_bits), -1, exp_bits)
    return k.lookup(quotient, _powers(exp_bits), -1)


def attention(
    k: Arithmetic[V],
    query: V,
    key: V,
    value: V,
    *,
    heads: int,
    score_shift: int,
    frac_bits: int,
    exp_bits: int = EXP_BITS,
    buffer_bits: int = 32,
    **output: int,
) -> V:
    """Attention of several heads, its scores through ``shiftmax``.

    Args:
        k: the operations.
        query: [batch, tokens, channels]; ``key`` and ``value`` likewise.
        key: what queries are multiplied with.
        value: what is averaged.
        heads: into how many the channels are split.
        score_shift: right shift of the scores, the nearest whole number to ``log2(sqrt(channels / heads))``.
        frac_bits: of the scores: those of ``query`` and ``key`` together.
        exp_bits: of the Shiftmax.
        buffer_bits: of scores and output before the quantizer.
        output: ``output_shift`` and ``output_bits`` of the output quantizer.
    """

    def split(x: V, perm: list[int]) -> V:
        _, tokens, channels = k.shape(x)
        return k.transpose(k.reshape(x, [0, tokens or 0, heads, (channels or 0) // heads]), perm)

    scores = k.matmul(split(query, [0, 2, 1, 3]), split(key, [0, 2, 3, 1]))
    scores = k.shift_right(saturate(k, scores, buffer_bits, signed=True), score_shift, Rounding.FLOOR)
    mask = shiftmax(k, scores, frac_bits=frac_bits, exp_bits=exp_bits, buffer_bits=buffer_bits)
    mixed = saturate(k, k.matmul(mask, split(value, [0, 2, 1, 3])), buffer_bits, signed=True)
    _, tokens, channels = k.shape(query)
    merged = k.reshape(k.transpose(mixed, [0, 2, 1, 3]), [0, tokens or 0, channels or 0])
    return _quantized(k, merged, **output)


def layer_mad_normalization(
    k: Arithmetic[V], x: V, *, gamma: Array, beta: Array, buffer_bits: int = 32, **output: int
) -> V:
    """``x / sum(|x|)`` over the last axis, times ``gamma``, plus ``beta``: the mean absolute deviation from zero normalizes.

    ``gamma // sum(|x|)`` rounds down. It is computed by one division in float64, which is exact here: a quotient of whole
    numbers lies below the next whole number by more than one part in ``gamma``, which has fewer bits than a float64 holds.
    Where all of ``x`` is zero, so is the first term.

    Args:
        k: the operations.
        x: fixed-point values.
        gamma: for each channel, times their number, with as many fractional bits as the buffer allows.
        beta: for each channel, with the fractional bits of ``gamma``.
        buffer_bits: of the sum, the product and the sum with ``beta``.
        output: ``output_shift`` and ``output_bits`` of the output quantizer.
    """
    axis = len(k.shape(x)) - 1
    absolute = k.maximum(x, k.multiply(x, -1))
    deviation = k.clip(k.sum(absolute, [axis], keepdims=True), 1, IntType(buffer_bits, signed=True).high)
    factors = [k.to_real(gamma.astype(np.int64), double=True), k.to_real(deviation, double=True)]
    reciprocal = k.to_integer(
        k.real("Div", *factors), int(min(gamma.min(), 0)), int(max(gamma.max(), 0)), Rounding.FLOOR
    )
    product = saturate(k, k.multiply(x, reciprocal), buffer_bits, signed=True)
    shifted = saturate(k, k.add(product, beta.astype(np.int64), axis=axis), buffer_bits, signed=True)
    return _quantized(k, shifted, **output)


def add_position_embs(
    k: Arithmetic[V], x: V, *, embeddings: Array, input_shift: int, buffer_bits: int = 32, **output: int
) -> V:
    """``x`` shifted left to the fractional bits of ``embeddings`` [1, tokens, channels], and their sum."""
    aligned = _aligned(k, x, input_shift, buffer_bits)
    total = saturate(k, k.add(aligned, embeddings.astype(np.int64)), buffer_bits, signed=True)
    return _quantized(k, total, **output)


def class_token(k: Arithmetic[V], x: V, *, token: Array, input_shift: int, buffer_bits: int = 32, **output: int) -> V:
    """``token``, one integer for each channel, before the tokens of ``x`` shifted left to its fractional bits."""
    joined = k.pad(_aligned(k, x, input_shift, buffer_bits), [0, 1, 0, 0, 0, 0], token.astype(np.int64), axis=2)
    return _quantized(k, joined, **output)


def token_add(k: Arithmetic[V], a: V, b: V, **rest: Any) -> V:
    """The sum of two tensors of tokens: ``shifted_add`` with one shift for each tensor."""
    return shifted_add(k, a, b, **rest)


def extract_token(k: Arithmetic[V], x: V, *, token: int = 0, squeeze: bool = True) -> V:
    """One token; ``squeeze`` drops its axis."""
    taken = k.gather(x, [token], 1)
    return k.reshape(taken, [0, k.shape(x)[2] or 0]) if squeeze else taken


KERNELS: dict[str, Any] = {
    kernel.__name__: kernel
    for kernel in (
        *(shiftmax, attention, layer_mad_normalization),
        *(add_position_embs, class_token, extract_token, token_add),
    )
}
