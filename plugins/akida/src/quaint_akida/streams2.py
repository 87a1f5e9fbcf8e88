"""Streams: what Akida 2 computes frame after frame.

On the chip, the batch is time: a layer sees one frame after the other, and layers over time keep the last few frames of each
pixel. A float model has time as axis 2, [N, channels, frames, rows, columns] or [N, channels, frames], with convolutions of
[1, k, k] in a frame and of [frames, 1, 1] over time, "(2+1)D" (D. Tran et al., arXiv:1711.11248). A sample is one stream, which
starts with empty buffers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quaint import graph
from quaint.integer import Layer
from quaint_akida import common, lut2, widths
from quaint_akida.entrance import entering_spec, is_input, signed_input_fits, takes_image
from quaint_akida.limits2 import check_frames, conv_limit, input_limit
from quaint_akida.scaling2 import Scaled

if TYPE_CHECKING:
    import onnx_ir as ir

    from quaint.lower import Lowering
    from quaint.numerics import QuantSpec
    from quaint.patterns import Block, Builder, CheckContext


class FrameConv(Scaled):
    """InputConv2D, Conv2D and DepthwiseConv2D in every frame, with an activation."""

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any, slope: Any) -> Any:
        conv = op.Conv(x, weight, bias)
        return op.Relu(conv), op.Clip(conv, low, high), *lut2.drawings(op, conv, slope), conv

    def check(self, context: CheckContext, block: Block, x: Any, weight: Any, **_: Any) -> bool:
        node, window = block.nodes[0], _frame_window(block.nodes[0])
        if window is None:
            return False
        weights = common.weights_of(context, weight)
        if weights is None or not lut2.check(context, block):
            return False
        image, depthwise = takes_image(x, context.config), common.is_depthwise(node)
        reason = (
            input_limit(window) if image else conv_limit(window, weights.shape[1] * window.group, depthwise=depthwise)
        )
        if reason is not None and not context.exceed(reason):
            return False
        return image or not is_input(x, context.config) or signed_input_fits(context, x)

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
        x = block.bindings["x"]
        return entering_spec(spec, x, context.config) if is_input(x, context.config) else spec

    def lower(self, block: Block, context: Lowering) -> Layer:
        source, node = context.params[block.inputs[0]], block.nodes[0]
        weight = block.constant("weight")
        folded = common.fold_input_scale(weight, source, axis=0 if common.is_depthwise(node) else 1)
        constants, attributes = self.products(block, context, folded, source)
        attributes |= {name: list(graph.attribute(node, name)) for name in ("strides", "pads")}
        attributes["group"] = int(graph.attribute(node, "group", 1))
        added, more = self.image_input(block, context, weight.shape[1])
        return Layer("conv2d", block.inputs, block.outputs, constants | added, attributes | more)


def _frame_window(node: ir.Node) -> common.Window | None:
    """The window in a frame; None where a convolution has another shape, or reaches over time."""
    size = (graph.dims(node.inputs[0]) or ())[2:]
    lists = [graph.attribute(node, name) for name in ("kernel_shape", "strides", "dilations")]
    pads, rank = graph.attribute(node, "pads"), len(size)
    if rank not in {1, 3} or any(values[0] != 1 for values in lists) or pads[0] or pads[rank]:
        return None
    kernel, strides, dilations = ((*values[1:], 1, 1)[:2] for values in lists)
    sizes = [n if isinstance(n, int) else 0 for n in (*size[1:], 1, 1)[:2]]
    if kernel[0] != kernel[1] or strides[0] != strides[1] or any(step != 1 for step in dilations):
        return None
    around = (*pads[1:rank], *pads[rank + 1 :]) or (0, 0, 0, 0)
    return common.Window(kernel[0], strides[0], around, (sizes[0], sizes[1]), graph.attribute(node, "group"))


class BufferTempConv(Scaled):
    """BufferTempConv and DepthwiseBufferTempConv: a convolution over time alone, which looks back and never ahead.

    In the float model: as many frames of zeros before the first as its kernel has, less one, and none behind the last.
    """

    accumulator_bits = 32

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any) -> Any:
        conv = op.Conv(x, weight, bias)
        return op.Relu(conv), conv

    def check(self, context: CheckContext, block: Block, x: Any, weight: Any, **_: Any) -> bool:
        if graph.rank(x) not in {3, 5} or common.weights_of(context, weight) is None:
            return False
        if is_input(x, context.config):
            return context.fail("cannot be the first layer: it needs a convolution before it")
        return check_frames(context, block)

    def lower(self, block: Block, context: Lowering) -> Layer:
        source, node = context.params[block.inputs[0]], block.nodes[0]
        depthwise = common.is_depthwise(node)
        weight = common.fold_input_scale(block.constant("weight"), source, axis=0 if depthwise else 1)
        constants, attributes = self.products(block, context, weight, source)
        attributes["group"] = int(graph.attribute(node, "group", 1))
        attributes |= widths.buffers(block, context.config, 32)
        return Layer("buffer_temp_conv", block.inputs, block.outputs, constants, attributes)
