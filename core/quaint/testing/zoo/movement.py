"""Layers that move numbers, one model for each variant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.testing.zoo.registry import model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.testing.builder import Builder

SAME = [1, 1, 1, 1]
FAR = 2**31 - 1


def _map(b: Builder, channels: int = 4, size: int = 6) -> str:
    """A feature map to move about."""
    return b.op("Relu", b.conv(b.input(3, size, size), (3, channels), pads=SAME))


def _slice(
    b: Builder, x: str, axes: Sequence[int], starts: Sequence[int], ends: Sequence[int], steps: Sequence[int]
) -> str:
    return b.op("Slice", x, *(b.constant(list(numbers), int) for numbers in (starts, ends, axes, steps)))


def _resize(b: Builder, x: str, scales: Sequence[float], coordinates: str, nearest: str) -> str:
    given = b.constant(list(scales))
    return b.op(
        "Resize", x, "", given, coordinate_transformation_mode=coordinates, mode="nearest", nearest_mode=nearest
    )


# parts ---------------------------------------------------------------------------------------------------------------
@model
def slice_map(b: Builder) -> str:
    """Some channels of a window, each bound counted from the end or beyond it."""
    x = _slice(b, _map(b, 6, 8), [1, 2, -1], [1, -6, 2], [-1, FAR, -1], [1, 1, 1])
    return b.conv(x, (4, 3), pads=SAME)


@model
def slice_steps(b: Builder) -> str:
    """Every second pixel, from four corners, as space to depth was once written."""
    x = b.input(3, 8, 8)
    corners = [_slice(b, x, [2, 3], [row, column], [FAR, FAR], [2, 2]) for column in (0, 1) for row in (0, 1)]
    return b.op("Relu", b.conv(b.op("Concat", *corners, axis=1), (12, 4), pads=SAME))


@model
def slice_backwards(b: Builder) -> str:
    """A map mirrored, and every second channel from the last one on."""
    x = _slice(b, _map(b), [3, 1], [-1, -1], [-FAR, -FAR], [-1, -2])
    return b.conv(x, (2, 3), pads=SAME)


@model
def split(b: Builder) -> str:
    """Three parts of a map, two of them worked on, joined in another order."""
    first, second, third = b.ops("Split", _map(b, 8), b.constant([2, 4, 2], int), axis=1)
    return b.op("Relu", b.conv(b.op("Concat", b.conv(second, (4, 4), pads=SAME), third, first, axis=1), (8, 3), (1, 1)))


@model
def split_vector(b: Builder) -> str:
    """Two halves of a vector, one through a sigmoid, multiplied."""
    x = b.gemm(b.input(12), 12, 8)
    left, right = b.ops("Split", x, b.constant([4, 4], int), axis=-1)
    return b.op("Mul", left, b.op("Sigmoid", right))


@model
def gather(b: Builder) -> str:
    """Channels in another order, some twice."""
    return b.conv(b.op("Gather", _map(b), b.constant([3, 0, -2, 0, 1], int), axis=1), (5, 3), pads=SAME)


@model
def gather_one(b: Builder) -> str:
    """The last step of a sequence: one index drops the axis."""
    x = b.op("Relu", b.conv(b.input(4, 12), (4, 8), (3,), pads=[1, 1]))
    return b.gemm(b.op("Gather", x, b.constant(-1, int), axis=2), 8, 5)


@model
def gather_table(b: Builder) -> str:
    """Indices of two axes."""
    return b.op("Gather", b.op("Relu", b.gemm(b.input(6), 6, 8)), b.constant([[0, 7, 3], [5, 5, 2]], int), axis=1)


@model
def tile(b: Builder) -> str:
    """A map beside and below itself."""
    return b.conv(b.op("Tile", _map(b), b.constant([1, 1, 2, 3], int)), (4, 3), pads=SAME)


@model
def expand(b: Builder) -> str:
    """A pooled map spread over the whole map again."""
    x = _map(b)
    y = b.op("Expand", b.op("GlobalAveragePool", x), b.constant([1, 1, 6, 6], int))
    return b.conv(b.op("Concat", x, y, axis=1), (8, 3), pads=SAME)


# borders -------------------------------------------------------------------------------------------------------------
def _pad(b: Builder, x: str, pads: Sequence[int], mode: str, *value: str) -> str:
    return b.op("Pad", x, b.constant(list(pads), int), *value, mode=mode)


@model
def pad_zeros(b: Builder) -> str:
    """Zeros, more channels too."""
    return b.op("Relu", b.conv(_pad(b, _map(b), [0, 1, 2, 0, 0, 1, 0, 1], "constant"), (6, 3), pads=SAME))


@model
def pad_value(b: Builder) -> str:
    """A border beyond the map's own range."""
    x = _pad(b, b.conv(b.input(3, 6, 6), (3, 4), pads=SAME), [0, 0, 1, 1, 0, 0, 1, 1], "constant", b.constant(-4.5))
    return b.op("MaxPool", x, kernel_shape=[3, 3])


@model
def pad_reflect(b: Builder) -> str:
    """The map mirrored at its edges, unequally."""
    return b.conv(_pad(b, _map(b), [0, 0, 2, 1, 0, 0, 1, 3], "reflect"), (4, 3))


@model
def pad_edge(b: Builder) -> str:
    """The edges repeated, as much on both sides."""
    return b.conv(_pad(b, _map(b), [0, 0, 2, 1, 0, 0, 2, 1], "edge"), (4, 3))


@model
def pad_edge_uneven(b: Builder) -> str:
    """The edges repeated, more at the end."""
    return b.conv(_pad(b, _map(b), [0, 0, 0, 1, 0, 0, 2, 2], "edge"), (4, 3))


@model
def pad_wrap(b: Builder) -> str:
    """The other end of the map at each edge."""
    return b.conv(_pad(b, _map(b), [0, 0, 1, 1, 0, 0, 1, 1], "wrap"), (4, 3))


@model
def pad_causal(b: Builder) -> str:
    """The first step of a sequence repeated before it."""
    return b.conv(_pad(b, b.input(4, 12), [0, 0, 2, 0, 0, 0], "edge"), (4, 6), (3,))


# pixels and channels -------------------------------------------------------------------------------------------------
@model
def depth_to_space(b: Builder) -> str:
    """Pixels from channels, the channels inside."""
    return b.conv(b.op("DepthToSpace", _map(b, 12), blocksize=2), (3, 3), pads=SAME)


@model
def depth_to_space_crd(b: Builder) -> str:
    """Pixels from channels, the channels outside."""
    return b.op("DepthToSpace", b.conv(b.input(3, 4, 5), (3, 18), pads=SAME), blocksize=3, mode="CRD")


@model
def space_to_depth(b: Builder) -> str:
    """Channels from pixels."""
    return b.conv(b.op("SpaceToDepth", _map(b, 3), blocksize=2), (12, 4), pads=SAME)


@model
def pixel_unshuffle(b: Builder) -> str:
    """Channels from pixels over six axes, as exporters write it out."""
    x = b.op("Reshape", _map(b, 3), b.constant([0, 3, 3, 2, 3, 2], int))
    x = b.op("Transpose", x, perm=[0, 1, 3, 5, 2, 4])
    return b.conv(b.op("Reshape", x, b.constant([0, 12, 3, 3], int)), (12, 4), (1, 1))


@model
def channel_shuffle(b: Builder) -> str:
    """Channels of two groups mixed."""
    x = b.op("Reshape", _map(b, 6), b.constant([0, 2, 3, 6, 6], int))
    x = b.op("Transpose", x, perm=[0, 2, 1, 3, 4])
    return b.conv(b.op("Reshape", x, b.constant([0, 6, 6, 6], int)), (6, 4), (1, 1))


# sizes ---------------------------------------------------------------------------------------------------------------
@model
def resize_double(b: Builder) -> str:
    """Every pixel four times."""
    return b.conv(_resize(b, _map(b), [1, 1, 2, 2], "asymmetric", "floor"), (4, 3), pads=SAME)


@model
def resize_triple(b: Builder) -> str:
    """Three times as wide, pixels counted from their middles."""
    return b.conv(_resize(b, _map(b), [1, 1, 1, 3], "half_pixel", "round_prefer_floor"), (4, 3), pads=SAME)


@model
def resize_odd(b: Builder) -> str:
    """Half as wide again, a third less high."""
    return _resize(b, _map(b), [1, 1, 2 / 3, 1.5], "half_pixel", "round_prefer_ceil")


@model
def resize_sequence(b: Builder) -> str:
    """A sequence twice as long."""
    x = b.op("Relu", b.conv(b.input(4, 8), (4, 6), (3,), pads=[1, 1]))
    return b.conv(_resize(b, x, [1, 1, 2], "asymmetric", "floor"), (6, 4), (3,), pads=[1, 1])


# shapes --------------------------------------------------------------------------------------------------------------
@model
def squeeze(b: Builder) -> str:
    """Axes of size 1 dropped and put back elsewhere."""
    x = b.op("Relu", b.conv(b.input(3, 5, 8), (3, 4), (5, 3), pads=[0, 1, 0, 1]))
    x = b.op("Relu", b.conv(b.op("Squeeze", x, b.constant([2], int)), (4, 6), (3,)))
    return b.conv(b.op("Unsqueeze", x, b.constant([3], int)), (6, 3), (1, 1))
