"""Layers of Akida 2 in integers: one pipeline for all of them.

Sum of products (wraps at 32 bits), buffer, bias, max pooling, activation, sum over the map, scale out; each step saturates
as the chip does. Source: public documentation of the akida package and its ``akida.nn`` primitives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quaint.numerics import IntType, Rounding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Arithmetic

    Array = NDArray[np.int64]

V = TypeVar("V")

POST = IntType(32, signed=True)
#: What a table of an activation is read at, and its entries.
INDEX, ENTRY = IntType(11, signed=True), IntType(14, signed=True)
#: Of a bias or a rectifier's bound: fields of 5 bits.
LARGEST_SHIFT = 31
#: Right shifts of scale-out: what a field of 6 signed bits holds (hardware pages of Akida 2), but for one that leaves nothing.
SHIFT_LOW, SHIFT_HIGH = -31, 31


def saturate(k: Arithmetic[V], x: V, bits: int, *, signed: bool | None = None) -> V:
    """Clip to an activation's integers: signed, but unsigned where they have 4 bits or fewer, if nothing else is said."""
    dtype = IntType(bits, bits > 4 if signed is None else signed)
    return k.clip(x, dtype.low, dtype.high)


def scale_out(
    k: Arithmetic[V],
    x: V,
    scale: Array,
    shift: Array,
    output_bits: int,
    *,
    post_bits: int = POST.bits,
    output_signed: bool | None = None,
) -> V:
    """``x * scale``, saturated at 32 bits, ``shift`` bits to the right (half up), saturated to the output's bits."""
    product = saturate(k, k.multiply(x, scale, axis=1), post_bits)
    return saturate(k, k.shift_right(product, shift, Rounding.HALF_UP, axis=1), output_bits, signed=output_signed)


def _shifted(mantissa: Array, shift: Array) -> Array:
    return mantissa.astype(np.int64) << shift.astype(np.int64)


def _activate(
    k: Arithmetic[V],
    x: V,
    *,
    max_value: Array | None = None,
    max_value_shift: Array | None = None,
    activation_scale: Array | None = None,
    activation_shift: Array | None = None,
    lut_values: Array | None = None,
) -> V:
    """None, ReLU with a bound, or a table of 2048 entries: scaled as in ``scale_out`` to the 11 bits that it is read at."""
    if activation_scale is not None and activation_shift is not None and lut_values is not None:
        index = scale_out(k, x, activation_scale, activation_shift, INDEX.bits)
        return k.lookup(index, lut_values, INDEX.low)
    if max_value is None or max_value_shift is None:
        return x
    bound = _shifted(max_value, max_value_shift)
    return k.clip(x, 0, None) if (bound >= POST.high).all() else k.clip(x, 0, bound, axis=1)


def _biased(
    k: Arithmetic[V], acc: V, bias: Array, bias_shift: Array, buffer_bits: int, post_bits: int = POST.bits
) -> V:
    """The accumulator, the bias and their sum, each saturated."""
    post = IntType(post_bits, signed=True)
    buffered, shifted = saturate(k, acc, buffer_bits), post.saturate(_shifted(bias, bias_shift))
    return k.clip(k.add(buffered, shifted, axis=1), post.low, post.high)


def _finish(
    k: Arithmetic[V],
    value: V,
    *,
    output_bits: int,
    pool: Sequence[int] | None = None,
    pool_strides: Sequence[int] = (),
    pool_pads: Sequence[int] = (),
    gap: bool = False,
    output_scale: Array | None = None,
    output_shift: Array | None = None,
    flatten: bool = False,
    post_bits: int = POST.bits,
    output_signed: bool | None = None,
    **activation: Any,
) -> V:
    """Pooling, activation, sum over the map, scale out: in this order."""
    if pool is not None:
        value = k.max_pool(
            value, kernel_shape=pool, strides=pool_strides, pads=pool_pads, dilations=[1, 1], ceil_mode=False
        )
    value = _activate(k, value, **activation)
    if gap:
        post = IntType(post_bits, signed=True)
        value = k.saturating_sum(value, (2, 3), post.low, post.high, keepdims=True)
    if output_scale is not None and output_shift is not None:
        widths: dict[str, Any] = {"post_bits": post_bits, "output_signed": output_signed}
        value = scale_out(k, value, output_scale, output_shift, output_bits, **widths)
    else:
        value = saturate(k, value, output_bits)
    return k.reshape(value, [0, -1]) if flatten else value


def conv2d(
    k: Arithmetic[V],
    x: V,
    *,
    weight: Array,
    bias: Array,
    bias_shift: Array,
    strides: Sequence[int],
    pads: Sequence[int],
    group: int = 1,
    padding_value: Array | None = None,
    buffer_bits: int = 28,
    **rest: Any,
) -> V:
    """InputConv2D (with a ``padding_value`` for each channel), Conv2D, and DepthwiseConv2D (``group`` = channels).

    The input layer saturates once, after the bias; the others saturate the accumulator, the bias and their sum.
    """
    rank = len(strides)
    if padding_value is not None and any(pads):
        around = [0, 0, *pads[:rank], 0, 0, *pads[rank:]]
        x, pads = k.pad(x, around, padding_value.astype(np.int64), axis=1), [0] * (2 * rank)
    acc = k.wrap(k.conv(x, weight, strides=strides, pads=pads, dilations=[1] * rank, group=group), POST.bits)
    if padding_value is None:
        return _finish(k, _biased(k, acc, bias, bias_shift, buffer_bits, rest.get("post_bits", POST.bits)), **rest)
    return _finish(k, saturate(k, k.add(acc, _shifted(bias, bias_shift), axis=1), buffer_bits), **rest)


def conv2d_transpose(
    k: Arithmetic[V],
    x: V,
    *,
    weight: Array,
    bias: Array,
    bias_shift: Array,
    pads: Sequence[int],
    group: int = 1,
    buffer_bits: int = 28,
    **rest: Any,
) -> V:
    """Conv2DTranspose and DepthwiseConv2DTranspose: stride 2, the output twice the size of the input."""
    acc = k.conv_transpose(x, weight, strides=[2, 2], pads=pads, output_padding=[0, 0], dilations=[1, 1], group=group)
    return _finish(k, _biased(k, k.wrap(acc, POST.bits), bias, bias_shift, buffer_bits), **rest)


def dense1d(
    k: Arithmetic[V], x: V, *, weight: Array, bias: Array, bias_shift: Array, buffer_bits: int = 28, **rest: Any
) -> V:
    """Dense1D: the flattened input times ``weight`` [inputs, units]; its sum does not wrap."""
    acc = k.matmul(k.reshape(x, [0, -1]), weight)
    return _finish(k, _biased(k, acc, bias, bias_shift, buffer_bits, rest.get("post_bits", POST.bits)), **rest)


def token_dense(
    k: Arithmetic[V], x: V, *, weight: Array, bias: Array, bias_shift: Array, buffer_bits: int = 28, **rest: Any
) -> V:
    """Dense1D on every token of [batch, tokens, channels]; no layer of the chip."""
    acc = k.transpose(k.matmul(x, weight), [0, 2, 1])
    biased = _biased(k, acc, bias, bias_shift, buffer_bits, rest.get("post_bits", POST.bits))
    return k.transpose(_finish(k, biased, **rest), [0, 2, 1])


def buffer_temp_conv(
    k: Arithmetic[V],
    x: V,
    *,
    weight: Array,
    bias: Array,
    bias_shift: Array,
    group: int = 1,
    buffer_bits: int = 32,
    **rest: Any,
) -> V:
    """BufferTempConv and DepthwiseBufferTempConv (``group`` = channels): a pixel's last frames times ``weight``.

    Frames lie along axis 2, the oldest first; the buffer of as many frames as ``weight`` has starts with zeros. On the chip
    frames come one after another, and the buffer stays between them.
    """
    rank = len(k.shape(x)) - 2
    steps, unit = weight.shape[2], [1] * rank
    pads = [steps - 1, *[0] * (2 * rank - 1)]
    acc = k.conv(x, weight, strides=unit, pads=pads, dilations=unit, group=group)
    return _finish(k, _biased(k, acc, bias, bias_shift, buffer_bits, rest.get("post_bits", POST.bits)), **rest)


def shifted_add(
    k: Arithmetic[V],
    a: V,
    b: V,
    *,
    a_shift: Array,
    b_shift: Array,
    output_shift: Array,
    buffer_bits: int = 32,
    output_bits: int = 8,
) -> V:
    """Add: both inputs shifted left to a common scale, summed, shifted right half up; every step saturates.

    The output is signed at every width, unlike other layers'.
    """
    shifted = [saturate(k, k.shift_left(x, shift, axis=1), buffer_bits) for x, shift in ((a, a_shift), (b, b_shift))]
    total = saturate(k, k.add(*shifted), buffer_bits)
    return saturate(k, k.shift_right(total, output_shift, Rounding.HALF_UP, axis=1), output_bits, signed=True)


def concatenate(k: Arithmetic[V], a: V, b: V) -> V:
    """Concatenate: the integers of two tensors along the channels; nothing is rescaled."""
    return k.concat([a, b], 1)


KERNELS: dict[str, Any] = {
    kernel.__name__: kernel
    for kernel in (conv2d, conv2d_transpose, dense1d, token_dense, buffer_temp_conv, shifted_add, concatenate)
}
