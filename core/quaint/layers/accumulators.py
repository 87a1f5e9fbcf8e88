"""Accumulators of finite width: what becomes of sums of products that leave it.

A kernel says how wide its accumulator is only where sums may leave it; without a width it holds whatever there is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Arithmetic, Constant

    #: One for all output channels, or one for each.
    Bits = int | Sequence[int]

V = TypeVar("V")


def _limits(bits: Bits) -> dict[str, Any]:
    low = np.asarray(np.left_shift(-1, np.asarray(bits, np.int64) - 1))
    return {"low": low, "high": ~low}


def conv(
    k: Arithmetic[V],
    x: V,
    weight: NDArray[Any],
    bias: NDArray[Any],
    *,
    accumulator_bits: Bits | None,
    accumulator_wraps: bool,
    **window: Any,
) -> V:
    """A convolution onto ``bias``, in an accumulator that saturates after every product, or else wraps around.

    Args:
        k: the operations.
        x: [N, C, ...].
        weight: [M, C / group, ...].
        bias: [M].
        accumulator_bits: None for as many as it takes.
        accumulator_wraps: instead of saturating; then all channels have the same bits.
        window: strides, pads, dilations, group.
    """
    if accumulator_bits is not None and not accumulator_wraps:
        return k.saturating_conv(x, weight, bias, **_limits(accumulator_bits), **window)
    return _wrapped(k, k.add(k.conv(x, weight, **window), bias, axis=1), accumulator_bits)


def conv_transpose(
    k: Arithmetic[V],
    x: V,
    weight: NDArray[Any],
    bias: NDArray[Any],
    *,
    output_padding: Sequence[int],
    accumulator_bits: Bits | None,
    accumulator_wraps: bool,
    **window: Any,
) -> V:
    """A transposed convolution likewise; one that saturates convolves the map with zeros between its pixels.

    Its weight is [C, M / group, ...]; it may crop as much as its kernel reaches.
    """
    if accumulator_bits is None or accumulator_wraps:
        acc = k.add(k.conv_transpose(x, weight, output_padding=output_padding, **window), bias, axis=1)
        return _wrapped(k, acc, accumulator_bits)
    sizes = zip(weight.shape[2:], window["dilations"], strict=True)
    reach = [(n - 1) * step for n, step in sizes]
    given: dict[str, Any] = {
        "strides": [1] * len(reach),
        "pads": [n - pad for n, pad in zip((*reach, *reach), window["pads"], strict=True)],
        "dilations": window["dilations"],
        "group": window["group"],
    }
    spread = _spread(k, x, window["strides"], output_padding)
    turned = _turned(weight, window["group"])
    return k.saturating_conv(spread, turned, bias, **_limits(accumulator_bits), **given)


def matmul(
    k: Arithmetic[V],
    x: V,
    y: V | Constant,
    bias: NDArray[Any] | None = None,
    *,
    accumulator_bits: Bits | None,
    accumulator_wraps: bool,
) -> V:
    """A matrix product likewise; ``bias`` lies along the last axis."""
    if accumulator_bits is not None and not accumulator_wraps:
        return k.saturating_matmul(x, y, 0 if bias is None else bias, **_limits(accumulator_bits))
    acc = k.matmul(x, y)
    if bias is not None:
        acc = k.add(acc, bias, axis=len(k.shape(acc)) - 1)
    return _wrapped(k, acc, accumulator_bits)


def _wrapped(k: Arithmetic[V], acc: V, bits: Bits | None) -> V:
    return acc if bits is None else k.wrap(acc, int(np.asarray(bits)))


def _spread(k: Arithmetic[V], x: V, strides: Sequence[int], more: Sequence[int]) -> V:
    """``x`` with ``stride - 1`` zeros between pixels, and some after the last: entries of it and of a zero at its end."""
    rank = len(strides)
    sizes = k.shape(x)[2:]
    x = k.pad(x, [0] * rank + [1] * rank, 0)
    for axis, (count, step, extra) in enumerate(zip(sizes, strides, more, strict=True), 2):
        assert count is not None
        indices = np.full((count - 1) * step + 1 + extra, count)
        indices[: (count - 1) * step + 1 : step] = np.arange(count)
        x = k.gather(x, indices.tolist(), axis)
    return x


def _turned(weight: NDArray[Any], group: int) -> NDArray[Any]:
    """[C, M / group, ...] as the filters [M, C / group, ...] of the convolution that it is the transpose of."""
    channels, maps, *kernel = weight.shape
    grouped = weight.reshape(group, channels // group, maps, *kernel).swapaxes(1, 2)
    return np.flip(grouped.reshape(group * maps, channels // group, *kernel), tuple(range(2, weight.ndim)))
