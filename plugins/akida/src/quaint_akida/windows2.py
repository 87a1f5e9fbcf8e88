"""Windows that Akida 2 lacks, in windows that it has: the same float function, with zeros, identities and shifts."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from quaint import graph
from quaint_akida import common
from quaint_akida.entrance import takes_image
from quaint_akida.limits2 import GAP_PIXELS, conv_limit, input_limit
from quaint_akida.rewriting import each, map_size, put_behind, retype, same_pads, set_lists, tap, window
from quaint_akida.windows import LARGEST_KERNEL, broken, edges_of, growing, place_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quaint.config import Config
    from quaint.graph import GraphEditor

#: What clips below zero, so that a border of zeros never wins a max pooling behind it.
NON_NEGATIVE = ("Relu", "Sigmoid", "HardSigmoid")


def _limit(config: Config, node: ir.Node, found: common.Window) -> str | None:
    """What limit the convolution ``node`` would break with another window."""
    x = node.inputs[0]
    if x is not None and takes_image(x, config):
        return input_limit(found)
    return conv_limit(found, (map_size(x) or (0,))[0], depthwise=common.is_depthwise(node))


grow_kernels = growing(_limit)


@each("Conv")
def split_strides(editor: GraphEditor, config: Config, node: ir.Node) -> str | None:
    """A stride of 2 that its kernel cannot have: stride 1, and behind its activation a depthwise identity of stride 2."""
    reason, size, out = broken(_limit, config, node), map_size(node.inputs[0]), map_size(node.outputs[0])
    if reason is None or size is None or out is None or graph.attribute(node, "strides")[0] != 2:
        return None
    found = next(_strided(config, node, size[1:], out[1:]), None)
    if found is None:
        return None
    edge, place, taps, pads = found
    place_kernel(editor, node, edge, place, ((edge - 1) // 2,) * 4)
    set_lists(node, strides=[1, 1])
    follower = graph.sole_consumer(node.outputs[0])
    last = follower if follower is not None and graph.is_op(follower, "Relu", "Clip") else node
    shape = graph.dims(last.outputs[0])
    for value in {node.outputs[0], last.outputs[0]}:
        value.shape = ir.Shape([*(graph.dims(value) or ())[:2], *size[1:]])
    attributes = window(3, 2, pads) | {"group": out[0]}
    name = f"{node.name}_stride"
    put_behind(editor, last.outputs[0], "Conv", tap(out[0], taps), attributes, name=name, shape=shape)
    return f"{reason}; its stride is 1 now, a depthwise identity of stride 2 follows"


def _strided(
    config: Config, node: ir.Node, size: tuple[int, ...], out: tuple[int, ...]
) -> Iterator[tuple[int, tuple[int, int], tuple[int, int], list[int]]]:
    """Ways to split: edge of the kernel, its place there, the identity's taps and pads.

    With stride 1 and an odd kernel, padded alike on all sides, row ``2 * q + first`` of the output is row ``q`` of the given one.
    """
    reach, given = edges_of(node), graph.attribute(node, "pads")
    totals = [max(2 * (h - 1) + 3 - n, 0) for h, n in zip(out, size, strict=True)]
    for edge, upper in itertools.product(range(max(*reach, 3) | 1, LARGEST_KERNEL + 1, 2), (False, True)):
        half = (edge - 1) // 2
        whole = common.Window(edge, 1, (half,) * 4, (size[0], size[1]), graph.attribute(node, "group"))
        begins = [t - t // 2 if upper else t // 2 for t in totals]
        for place in itertools.product(*(range(edge - n + 1) for n in reach)):
            firsts = [half - i - pad for i, pad in zip(place, given[:2], strict=True)]
            taps = [first + begin for first, begin in zip(firsts, begins, strict=True)]
            rows = list(zip(firsts, out, size, strict=True))
            inside = all(h == -(-n // 2) and first >= 0 and first + 2 * (h - 1) < n for first, h, n in rows)
            if inside and max(taps) <= 2 and _limit(config, node, whole) is None:
                pads = [*begins, *(t - b for t, b in zip(totals, begins, strict=True))]
                yield edge, (place[0], place[1]), (taps[0], taps[1]), pads


@each("AveragePool")
def average_by_convolution(editor: GraphEditor, _config: Config, node: ir.Node) -> str | None:
    """An average of windows, where borders count or are none: a depthwise convolution."""
    x, size, kernel = node.inputs[0], map_size(node.inputs[0]), graph.attribute(node, "kernel_shape")
    borders = any(graph.attribute(node, "pads")) and not graph.attribute(node, "count_include_pad", 0)
    if x is None or size is None or borders or graph.attribute(node, "ceil_mode", 0):
        return None
    weight = np.full((size[0], 1, *kernel), 1 / np.prod(kernel), np.float32)
    constants = {"weight": weight, "bias": np.zeros(size[0], np.float32)}
    names = ("kernel_shape", "strides", "pads", "dilations")
    attributes = {name: list(graph.attribute(node, name)) for name in names} | {"group": size[0]}
    retype(editor, node, "Conv", x, constants, attributes)
    return "no layer averages windows; a depthwise convolution now"


@each("GlobalAveragePool")
def average_in_steps(editor: GraphEditor, _config: Config, node: ir.Node) -> str | None:
    """A global average of too many pixels: averages of 2x2 first, by depthwise convolutions.

    Beyond an odd edge there are zeros; what they take from the average, the weights give back.
    """
    x, size = node.inputs[0], map_size(node.inputs[0])
    if x is None or size is None or x.producer() is None:
        return None
    channels, rows, columns = size
    batch, steps = (graph.dims(x) or (None,))[0], 0
    while rows * columns > GAP_PIXELS:
        halves, odd = (-(-rows // 2), -(-columns // 2)), (rows % 2, columns % 2)
        kernel = np.full((channels, 1, 2, 2), halves[0] * halves[1] / (rows * columns), np.float32)
        (rows, columns), steps = halves, steps + 1
        constants = {"weight": kernel, "bias": np.zeros(channels, np.float32)}
        attributes = window(2, 2, [0, 0, *odd]) | {"group": channels}
        shape, name = (batch, channels, rows, columns), f"{node.name}_halves{steps}"
        x = put_behind(editor, x, "Conv", constants, attributes, name=name, shape=shape, readers=[node])
    if not steps:
        return None
    return f"{size[1]}x{size[2]} pixels, {GAP_PIXELS} at the most; averages of 2x2 before it now"


@each("MaxPool")
def pool_in_steps(editor: GraphEditor, config: Config, node: ir.Node) -> str | None:
    """Max pooling 3x3, and such with a border at the start: 2x2, a shift, and 2x2 again.

    The largest of three is the larger of two pairs. A border is a shift by one pixel, by a depthwise convolution, whose zeros
    never win where nothing is negative; of 3x3, the pairs are shifted, so that none loses its last pixel.
    """
    x, size, out = node.inputs[0], map_size(node.inputs[0]), map_size(node.outputs[0])
    if x is None or size is None or out is None or pool_fits(config, node):
        return None
    kernel, strides, pads = (graph.attribute(node, name) for name in ("kernel_shape", "strides", "pads"))
    edge, stride, begin = kernel[0], strides[0], pads[0]
    square = kernel == (edge, edge) and strides == (stride, stride) and pads[1] == begin
    whole = list(out[1:]) == [-(-n // stride) for n in size[1:]]
    if not square or not whole or edge not in {2, 3} or stride not in {1, 2} or begin > 1:
        return None
    if any(step != 1 for step in graph.attribute(node, "dilations")) or (begin and not _is_non_negative(x)):
        return None
    if begin and edge == 2 and any(2 * n != wide for n, wide in zip(out[1:], size[1:], strict=True)):
        return None  # the last pixel would be shifted out
    if edge == 3:
        first = window(2, 1, same_pads(size[1:], 2, 1)) | {"ceil_mode": 0}
        x = put_behind(editor, x, "MaxPool", {}, first, name=f"{node.name}_pairs", readers=[node])
    if begin:
        shift = window(3, 1, [1] * 4) | {"group": size[0]}
        put_behind(editor, x, "Conv", tap(size[0], (0, 0)), shift, name=f"{node.name}_shift", readers=[node])
    set_lists(node, kernel_shape=[2, 2], pads=same_pads(size[1:], 2, stride))
    node.attributes["ceil_mode"] = ir.AttrInt64("ceil_mode", 0)
    return f"{edge}x{edge} with pads {list(pads)}; pooled 2x2 {'and shifted ' if begin else ''}now"


def pool_fits(config: Config, node: ir.Node) -> bool:
    """Whether a layer pools so: the input layer that comes before, or one inside."""
    kernel, stride = graph.attribute(node, "kernel_shape"), graph.attribute(node, "strides")[0]
    before = graph.producer(node.inputs[0])
    while before is not None and graph.is_op(before, *NON_NEGATIVE, "Clip"):
        before = graph.producer(before.inputs[0])
    source = None if before is None else before.inputs[0]
    if before is not None and source is not None and graph.is_op(before, "Conv") and takes_image(source, config):
        sizes, padding = ((2, 2), (3, 2)), common.padding_of(before)
    else:
        sizes, padding = ((2, 2), (2, 1)), "same"
    return (kernel[0], stride) in sizes and common.pool_pads(node, padding) is not None


def _is_non_negative(value: ir.Value | None) -> bool:
    made = graph.producer(value)
    if made is None:
        return False
    if graph.is_op(made, "MaxPool"):
        return _is_non_negative(made.inputs[0])
    low = graph.scalar(graph.input_at(made, 1)) if graph.is_op(made, "Clip") else None
    return graph.is_op(made, *NON_NEGATIVE) or (low is not None and low >= 0)
