"""Kernels that a chip lacks, in kernels that it has: the same float function, with zeros. For both generations."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from quaint import graph
from quaint_akida import common
from quaint_akida.rewriting import Rewrite, each, map_size, set_lists

if TYPE_CHECKING:
    from quaint.config import Config
    from quaint.graph import GraphEditor

LARGEST_KERNEL = 7
#: What limit of its chip a convolution would break with another window; None if none.
Limit = Callable[["Config", ir.Node, common.Window], str | None]


def broken(limit: Limit, config: Config, node: ir.Node) -> str | None:
    """The limit that a convolution breaks, and that another window might not; None if none."""
    size, weight = map_size(node.inputs[0]), graph.constant(node.inputs[1])
    kernel, strides = graph.attribute(node, "kernel_shape"), graph.attribute(node, "strides")
    if size is None or weight is None or strides[0] != strides[1]:
        return None
    if kernel[0] != kernel[1]:
        return f"kernel {kernel[0]}x{kernel[1]} is not square"
    if any(step != 1 for step in graph.attribute(node, "dilations")):
        return "dilation"
    pads, group = tuple(graph.attribute(node, "pads")), graph.attribute(node, "group")
    return limit(config, node, common.Window(kernel[0], strides[0], pads, size[1:], group))


def edges_of(node: ir.Node) -> list[int]:
    """Edges of the window with its dilation."""
    kernel, dilations = graph.attribute(node, "kernel_shape"), graph.attribute(node, "dilations")
    return [(n - 1) * step + 1 for n, step in zip(kernel, dilations, strict=True)]


def place_kernel(editor: GraphEditor, node: ir.Node, size: int, place: tuple[int, int], pads: tuple[int, ...]) -> None:
    """Put the kernel into a square one of zeros."""
    weight, reach, steps = graph.constant(node.inputs[1]), edges_of(node), graph.attribute(node, "dilations")
    assert weight is not None
    grown = np.zeros((*weight.shape[:2], size, size), weight.dtype)
    rows, columns = (slice(i, i + n, step) for i, n, step in zip(place, reach, steps, strict=True))
    grown[:, :, rows, columns] = weight
    editor.set_constant(node, 1, grown)
    set_lists(node, kernel_shape=[size, size], dilations=[1, 1], pads=pads)


def growing(limit: Limit) -> Rewrite:
    """Even, oblong and dilated kernels, and odd pads: a larger square kernel, zeros where the given one has nothing.

    The padding grows with the kernel, so that every true weight meets the pixel that it met before.
    """

    @each("Conv")
    def grow_kernels(editor: GraphEditor, config: Config, node: ir.Node) -> str | None:
        reason, size = broken(limit, config, node), map_size(node.inputs[0])
        if reason is None or size is None:
            return None
        edges, pads = edges_of(node), graph.attribute(node, "pads")
        stride, group = graph.attribute(node, "strides")[0], graph.attribute(node, "group")
        for edge in range(max(edges), LARGEST_KERNEL + 1):
            for i, j in itertools.product(*(range(edge - n + 1) for n in edges)):
                around = (pads[0] + i, pads[1] + j, pads[2] + edge - edges[0] - i, pads[3] + edge - edges[1] - j)
                if limit(config, node, common.Window(edge, stride, around, size[1:], group)) is None:
                    place_kernel(editor, node, edge, (i, j), around)
                    return f"{reason}; its kernel is {edge}x{edge} now, zeros added"
        return None

    return grow_kernels


@each("Conv")
def ungroup(editor: GraphEditor, _config: Config, node: ir.Node) -> str | None:
    """A convolution in groups that is not depthwise: one group, zeros between the groups."""
    group, weight = graph.attribute(node, "group", 1), graph.constant(node.inputs[1])
    if group == 1 or weight is None or common.is_depthwise(node):
        return None
    filters, inner = weight.shape[0] // group, weight.shape[1]
    whole = np.zeros((weight.shape[0], inner * group, *weight.shape[2:]), weight.dtype)
    for i in range(group):
        whole[i * filters : (i + 1) * filters, i * inner : (i + 1) * inner] = weight[i * filters : (i + 1) * filters]
    editor.set_constant(node, 1, whole)
    node.attributes["group"] = ir.AttrInt64("group", 1)
    return f"{group} groups; one now, zeros between them"
