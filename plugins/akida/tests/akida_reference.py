"""The chips' arithmetic in Python integers and loops, as BrainChip documents it: the independent truth of the tests.

Everything is in the chips' own terms: maps are [rows, columns, channels], convolutions but the input layer's flip their
kernels, shifts to the left are positive. Nothing here comes from the kernels.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

Map = np.ndarray[Any, np.dtype[Any]]


def round_shift(v: int, shift: int) -> int:
    """Shift left, or right with rounding half up."""
    return v << shift if shift >= 0 else (v + (1 << (-shift - 1))) >> -shift


def sat(v: int, bits: int) -> int:
    return min(max(v, -(1 << (bits - 1))), (1 << (bits - 1)) - 1)


def sat_out(v: int, bits: int, *, signed: bool = True) -> int:
    """An activation: unsigned up to 4 bits, or where that is said."""
    return sat(v, bits) if bits > 4 and signed else min(max(v, 0), (1 << bits) - 1)


def wrap32(v: int) -> int:
    return (v + (1 << 31)) % (1 << 32) - (1 << 31)


def window(size: int, kernel: int, stride: int, padding: str) -> tuple[int, int]:
    """Rows of border before an axis, and windows along it."""
    if padding == "valid":
        return 0, (size - kernel) // stride + 1
    count = -(-size // stride)
    total = max((count - 1) * stride + kernel - size, 0)
    return (total // 2 if padding == "same" else total - total // 2), count


def convolve(
    x: Map, weight: Map, stride: int, padding: str, *, flipped: bool, depthwise: bool = False, border: Any = None
) -> Map:
    """Exact sums of products; weight is [k, k, channels, filters], for a depthwise one [k, k, channels, 1]."""
    kernel, channels, filters = weight.shape[0], weight.shape[2], weight.shape[3]
    if flipped:
        weight = weight[::-1, ::-1]
    (top, rows), (left, columns) = (window(size, kernel, stride, padding) for size in x.shape[:2])
    out = np.zeros((rows, columns, channels if depthwise else filters), object)
    for i, j, f in np.ndindex(*out.shape):
        for a, b, c in itertools.product(range(kernel), range(kernel), [f] if depthwise else range(channels)):
            row, column = i * stride + a - top, j * stride + b - left
            inside = 0 <= row < x.shape[0] and 0 <= column < x.shape[1]
            value = int(x[row, column, c]) if inside else 0 if border is None else int(border[c])
            out[i, j, f] += value * int(weight[a, b, c, 0 if depthwise else f])
    return out


def transpose_convolve(x: Map, weight: Map, *, depthwise: bool) -> Map:
    """Spread over a map of ``2 * (size - 1) + k``, cropped to twice the size."""
    kernel, channels, filters = weight.shape[0], weight.shape[2], weight.shape[3]
    begin = max(kernel - 2, 0) // 2
    full = np.zeros((*(2 * (size - 1) + kernel for size in x.shape[:2]), channels if depthwise else filters), object)
    for i, j, c in np.ndindex(*x.shape):
        for a, b, f in itertools.product(range(kernel), range(kernel), range(filters)):
            full[2 * i + a, 2 * j + b, c if depthwise else f] += int(x[i, j, c]) * int(weight[a, b, c, f])
    return full[begin : begin + 2 * x.shape[0], begin : begin + 2 * x.shape[1]]


def max_pool(v: Map, size: int, stride: int, padding: str) -> Map:
    """Borders never win; a map that is padded for the convolution is padded for the pooling too."""
    same = "valid" if padding == "valid" else "same"
    (top, rows), (left, columns) = (window(n, size, stride, same) for n in v.shape[:2])
    out = np.zeros((rows, columns, v.shape[2]), object)
    for i, j, f in np.ndindex(*out.shape):
        rows_of = [r for r in range(i * stride - top, i * stride - top + size) if 0 <= r < v.shape[0]]
        columns_of = [r for r in range(j * stride - left, j * stride - left + size) if 0 <= r < v.shape[1]]
        out[i, j, f] = max(int(v[r, s, f]) for r in rows_of for s in columns_of)
    return out


def average(v: Map, bits: int) -> Map:
    """The sum over the map, row by row, saturated at every step."""
    out = np.zeros((1, 1, v.shape[2]), object)
    for i, j, f in np.ndindex(*v.shape):
        out[0, 0, f] = sat(out[0, 0, f] + int(v[i, j, f]), bits)
    return out


def finish2(acc: Map, fields: dict[str, Any]) -> Map:
    """Akida 2, from the exact sums [..., filters] on."""
    wraps, first, post = fields.get("wraps", True), fields.get("first", False), fields.get("post_bits", 32)
    v = np.zeros(acc.shape, object)
    for *place, f in np.ndindex(*acc.shape):
        at = (*place, f)
        total = wrap32(int(acc[at])) if wraps else int(acc[at])
        shifted = int(fields["bias"][f]) << int(fields["bias_shift"][f])
        buffer = fields["buffer_bits"]
        v[at] = sat(total + shifted, buffer) if first else sat(sat(total, buffer) + sat(shifted, post), post)
    if "pool" in fields:
        v = max_pool(v, *fields["pool"], fields["padding"])
    if "max_value" in fields:
        for at in np.ndindex(*v.shape):
            v[at] = min(max(v[at], 0), int(fields["max_value"][at[-1]]) << int(fields["max_value_shift"][at[-1]]))
    if "lut_values" in fields:
        for at in np.ndindex(*v.shape):
            scaled = sat(v[at] * int(fields["activation_scales"][at[-1]]), 32)
            index = sat(round_shift(scaled, int(fields["activation_shift"][at[-1]])), 11)
            v[at] = int(fields["lut_values"][index + 1024])
    if fields.get("gap"):
        v = average(v, post)
    for at in np.ndindex(*v.shape):
        product = round_shift(
            sat(v[at] * int(fields["output_scales"][at[-1]]), post), int(fields["output_shift"][at[-1]])
        )
        v[at] = sat_out(product, fields["output_bits"], signed=fields.get("signed", True))
    return v


def buffer_convolve(frames: list[Map], weight: Map, *, depthwise: bool) -> list[Map]:
    """Sums of each frame with those in a buffer of zeros at first.

    Weight is [1, 1, frames * channels, filters], the oldest frame first; for a depthwise one [1, 1, frames, channels].
    """
    steps = weight.shape[2] if depthwise else weight.shape[2] // frames[0].shape[2]
    buffer = [np.zeros(frames[0].shape, object)] * steps
    sums = []
    for frame in frames:
        buffer = [*buffer[1:], frame.astype(object)]
        if depthwise:
            sums.append(sum(one * weight[0, 0, t].astype(object) for t, one in enumerate(buffer)))
        else:
            sums.append(np.concatenate(buffer, axis=2) @ weight[0, 0].astype(object))
    return sums


def add2(a: Map, b: Map, a_shift: Any, b_shift: Any, output_shift: Any, output_bits: int, buffer_bits: int = 32) -> Map:
    """Akida 2's Add; its output is signed at every width."""
    out = np.zeros(a.shape, object)
    for at in np.ndindex(*a.shape):
        first, second = (sat(int(x[at]) << int(s[at[-1]]), buffer_bits) for x, s in ((a, a_shift), (b, b_shift)))
        out[at] = sat(round_shift(sat(first + second, buffer_bits), int(output_shift[at[-1]])), output_bits)
    return out


def finish1(potential: Map, fields: dict[str, Any]) -> Map:
    """Akida 1, from the exact potentials [rows, columns, filters] on; ``act_step`` counts sixteenths."""
    if "pool" in fields:
        potential = max_pool(potential, *fields["pool"], fields["padding"])
    if fields.get("gap"):
        potential = average(potential, 20)
    if "act_step" not in fields:
        return potential
    bits, out = fields["act_bits"], np.zeros(potential.shape, object)
    for at in np.ndindex(*potential.shape):
        step = int(fields["act_step"][at[-1]]) << (4 - bits)
        excess = int(potential[at]) - int(fields["threshold"][at[-1]])
        out[at] = min(max(-((-16 * excess) // step), 0), (1 << bits) - 1)
    return out
