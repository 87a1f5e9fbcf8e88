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


def sat_out(v: int, bits: int) -> int:
    """An activation: unsigned up to 4 bits."""
    return min(max(v, 0), (1 << bits) - 1) if bits <= 4 else sat(v, bits)


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
    wraps, first = fields.get("wraps", True), fields.get("first", False)
    v = np.zeros(acc.shape, object)
    for *place, f in np.ndindex(*acc.shape):
        at = (*place, f)
        total = wrap32(int(acc[at])) if wraps else int(acc[at])
        shifted = int(fields["bias"][f]) << int(fields["bias_shift"][f])
        buffer = fields["buffer_bits"]
        v[at] = sat(total + shifted, buffer) if first else sat(sat(total, buffer) + sat(shifted, 32), 32)
    if "pool" in fields:
        v = max_pool(v, *fields["pool"], fields["padding"])
    if "max_value" in fields:
        for at in np.ndindex(*v.shape):
            v[at] = min(max(v[at], 0), int(fields["max_value"][at[-1]]) << int(fields["max_value_shift"][at[-1]]))
    if fields.get("gap"):
        v = average(v, 32)
    for at in np.ndindex(*v.shape):
        product = sat(v[at] * int(fields["output_scales"][at[-1]]), 32)
        v[at] = sat_out(round_shift(product, int(fields["output_shift"][at[-1]])), fields["output_bits"])
    return v


def add2(a: Map, b: Map, a_shift: Any, b_shift: Any, output_shift: Any, output_bits: int, buffer_bits: int = 32) -> Map:
    """Akida 2's Add."""
    out = np.zeros(a.shape, object)
    for at in np.ndindex(*a.shape):
        first, second = (sat(int(x[at]) << int(s[at[-1]]), buffer_bits) for x, s in ((a, a_shift), (b, b_shift)))
        out[at] = sat_out(round_shift(sat(first + second, buffer_bits), int(output_shift[at[-1]])), output_bits)
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
