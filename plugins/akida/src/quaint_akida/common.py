"""What both generations share: geometry of windows, and weights that take the scales of their inputs in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.layers.output import clamp_of
from quaint.numerics import QuantParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.numerics import IntType
    from quaint.patterns import Block, CheckContext

    Floats = NDArray[np.float64]


#: What may follow the chip's last layer on the host and needs its sum, not a rounded activation.
HOST_TAIL = frozenset({"Softmax", "LogSoftmax", "Flatten", "Reshape", "ArgMax", "Sigmoid", "Transpose"})


@dataclass(frozen=True)
class Window:
    """A square, undilated convolution window, as the chip knows it."""

    kernel: int
    stride: int
    pads: tuple[int, int, int, int]
    size: tuple[int, int]
    group: int

    @property
    def padding(self) -> str | None:
        """``same``, ``same-upper`` or ``valid``; None where it is none of them.

        ``same``: the odd row or column goes to the end (as in TensorFlow); ``same-upper``: to the start, which is what
        symmetric pads amount to where the last window does not reach the end.
        """
        if not any(self.pads):
            return "valid" if self.kernel > 1 else "same"
        total = [max((-(-n // self.stride) - 1) * self.stride + self.kernel - n, 0) for n in self.size]
        reach = [self._reached(n, axis) for axis, n in enumerate(self.size)]
        begins = list(self.pads[:2])
        if [self._outputs(n, axis) for axis, n in enumerate(self.size)] != [-(-n // self.stride) for n in self.size]:
            return None
        if begins == [t // 2 for t in total] and reach == [t - t // 2 for t in total]:
            return "same"
        if begins == [t - t // 2 for t in total] and reach == [t // 2 for t in total]:
            return "same-upper"
        return None

    def _outputs(self, n: int, axis: int) -> int:
        return (n + self.pads[axis] + self.pads[axis + 2] - self.kernel) // self.stride + 1

    def _reached(self, n: int, axis: int) -> int:
        """Rows of the end border that the last window really reads."""
        last = (self._outputs(n, axis) - 1) * self.stride - self.pads[axis] + self.kernel
        return max(last - n, 0)


def window(context: CheckContext, node: ir.Node) -> Window | None:
    """The window of a Conv; fails the check and gives None where it is not two-dimensional, square and undilated."""
    size = graph.dims(node.inputs[0])
    kernel, strides = graph.attribute(node, "kernel_shape"), graph.attribute(node, "strides")
    if size is None or len(size) != 4 or not all(isinstance(n, int) for n in size[2:]):
        context.fail("only feature maps (4 axes of known size)")
        return None
    if kernel[0] != kernel[1]:
        context.fail(f"kernel {kernel[0]}x{kernel[1]} is not square: train with a square one")
        return None
    if strides[0] != strides[1]:
        context.fail(f"strides {strides[0]}x{strides[1]} differ")
        return None
    if any(step != 1 for step in graph.attribute(node, "dilations", (1, 1))):
        context.fail("dilation")
        return None
    pads, group = tuple(graph.attribute(node, "pads")), graph.attribute(node, "group", 1)
    return Window(kernel[0], strides[0], pads, (int(size[2] or 0), int(size[3] or 0)), group)


def is_depthwise(node: ir.Node) -> bool:
    """Whether a Conv has one input and one output channel in each group, and more than one group."""
    weight = graph.constant(node.inputs[1])
    group = graph.attribute(node, "group", 1)
    return weight is not None and group > 1 and weight.shape[:2] == (group, 1)


def pool_pads(node: ir.Node, padding: str) -> list[int] | None:
    """Borders of a layer's max pooling, which the layer's own padding decides; None where the node's windows are others.

    ``valid``: none, and what is left over at the end is dropped; else as in TensorFlow, the odd row at the end.
    """
    kernel, stride = graph.attribute(node, "kernel_shape")[0], graph.attribute(node, "strides")[0]
    sizes, pooled = (
        [n for n in (graph.dims(value) or ())[2:] if isinstance(n, int)] for value in (node.inputs[0], node.outputs[0])
    )
    wanted = [(n - kernel) // stride + 1 if padding == "valid" else -(-n // stride) for n in sizes]
    totals = [max((out - 1) * stride + kernel - n, 0) for out, n in zip(wanted, sizes, strict=True)]
    begins = [total // 2 for total in totals]
    found = list(graph.attribute(node, "pads", (0, 0)))[:2]
    if wanted != pooled or begins != found:
        return None
    return [*begins, *(total - begin for total, begin in zip(totals, begins, strict=True))]


def max_pool_fits(context: CheckContext, node: ir.Node, sizes: Sequence[tuple[int, int]], padding: str) -> bool:
    """Whether a MaxPool is square, undilated, of one of ``sizes`` (window and stride), and padded as its layer is."""
    kernel, strides = graph.attribute(node, "kernel_shape"), graph.attribute(node, "strides")
    square = kernel[0] == kernel[1] and strides[0] == strides[1]
    if not square or (kernel[0], strides[0]) not in sizes:
        listed = " or ".join(f"{n}x{n} with stride {stride}" for n, stride in sizes)
        reason = f"max pooling {kernel[0]}x{kernel[1]} with stride {strides[0]}: only {listed}, square"
        if not (context.exceed if square else context.fail)(reason):
            return False
    if any(step != 1 for step in graph.attribute(node, "dilations", ())):
        return context.fail("dilated max pooling")
    if pool_pads(node, padding) is None:
        shape = "x".join(map(str, (graph.dims(node.inputs[0]) or ())[2:]))
        asked = "no padding" if padding == "valid" else "padding 'same' (the odd row at the end)"
        return context.fail(
            f"max pooling of a {shape} map with pads {list(graph.attribute(node, 'pads', ()))}: it needs {asked}"
        )
    return True


def fold_input_scale(weight: Floats, source: QuantParams, *, axis: int) -> Floats:
    """Weights times the scales of their input channels, so that the input counts in integers.

    ``axis`` counts input channels; where it is longer than the scales (a flattened map, channels first), each scale stands
    for as many neighbours.
    """
    scale = np.broadcast_to(source.scale, (weight.shape[axis],)) if source.scale.ndim == 0 else source.scale
    scale = np.repeat(scale, weight.shape[axis] // len(scale))
    shape = [1] * weight.ndim
    shape[axis] = -1
    return np.asarray(weight * scale.reshape(shape))


def largest(weight: Floats) -> Floats:
    """Largest magnitude of each filter (axis 0).

    A filter without weights counts as the largest of all, so that no scale is out of the ordinary.
    """
    limit = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    return np.where(limit < limit.max() * 2.0**-16, limit.max() or 1.0, limit)


def declare_weight(
    context: Lowering,
    block: Block,
    scale: Floats,
    source: QuantParams,
    dtype: IntType,
    axis: int,
    *,
    depthwise: bool = False,
) -> None:
    """State which real weights the integers of a layer stand for: those that took the input's scales in, without them.

    Where input channels differ in scale, one scale for each filter cannot say it, unless the filter has but one channel.
    """
    if source.scale.ndim == 0 or depthwise:
        context.params[f"{block.name}/weight"] = QuantParams(scale / source.scale, dtype, axis=axis)


def zero_point(source: QuantParams, channels: int) -> NDArray[np.int64]:
    """The source's zero points, one for each channel."""
    return np.array(np.broadcast_to(source.zero_point, (channels,)), np.int64)


def pool_attributes(node: ir.Node | None, padding: str) -> dict[str, list[int]]:
    """Window, strides and borders of a MaxPool as plain data; nothing without one."""
    if node is None:
        return {}
    names = {"pool": "kernel_shape", "pool_strides": "strides"}
    found = {key: list(graph.attribute(node, name)) for key, name in names.items()}
    return found | {"pool_pads": pool_pads(node, padding) or [0] * 4}


def pixels(shape: Sequence[int | None]) -> int:
    """Pixels of a map [N, C, ...]."""
    return math.prod(int(n or 0) for n in shape[2:])


def weights_of(context: CheckContext, value: ir.Value) -> NDArray[Any] | None:
    """The constant weights; fails the check and gives None where they are computed."""
    found = graph.constant(value)
    if found is None:
        context.fail("its weights are not constant")
    return found


def clamps_at_zero(context: CheckContext, block: Block) -> bool:
    """Whether the block's Clip, if it has one, starts at 0: the chip's activation is a ReLU, bounded or not."""
    clamp = clamp_of(block)
    return clamp is None or clamp[0] == 0 or context.fail(f"its Clip starts at {clamp[0]}, not at 0")


def leaves(value: ir.Value) -> bool:
    """Whether only the host reads a value: it is the last layer's."""
    readers = [user for user, _ in value.uses()]
    return all(user.op_type in HOST_TAIL and leaves(user.outputs[0]) for user in readers)


def feeds(value: ir.Value, op_types: frozenset[str]) -> bool:
    """Whether a value is read, by operators of these types alone."""
    readers = {user.op_type for user, _ in value.uses()}
    return bool(readers) and readers <= op_types and not value.is_graph_output()


def padding_of(conv: ir.Node) -> str:
    """Padding of a convolution that ``window`` accepted."""
    size = [int(n or 0) for n in (graph.dims(conv.inputs[0]) or ())[2:]]
    kernel, stride = graph.attribute(conv, "kernel_shape")[0], graph.attribute(conv, "strides")[0]
    return Window(kernel, stride, tuple(graph.attribute(conv, "pads")), (size[0], size[1]), 1).padding or "same"


def map_pixels(value: ir.Value | None) -> int:
    """Pixels of a feature map."""
    return math.prod(n if isinstance(n, int) else 0 for n in (graph.dims(value) or ())[2:])
