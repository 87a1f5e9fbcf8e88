"""Limits of Akida 2's hardware (public hardware pages, section "Akida 2.0")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint import graph
from quaint_akida import common

if TYPE_CHECKING:
    import onnx_ir as ir

    from quaint.patterns import Block, CheckContext

#: Strides of the input layer by kernel size.
INPUT_STRIDES = {3: 3, 4: 4, 5: 5, 7: 6}
MAX_CHANNELS = 2048
MAX_GAP_PIXELS = 144


def check_input_conv(context: CheckContext, block: Block) -> bool:
    """The input layer for 8-bit images."""
    window = common.window(context, block.nodes[0])
    if window is None:
        return False
    if window.kernel not in INPUT_STRIDES:
        return context.fail(f"the input layer's kernel is 3, 4, 5 or 7, not {window.kernel}")
    if window.stride > INPUT_STRIDES[window.kernel]:
        return context.fail(f"the input layer's stride is {INPUT_STRIDES[window.kernel]} at the most, not {window.stride}")
    upper = window.padding == "same-upper" and window.stride == 2 and window.kernel in {3, 5, 7}
    if window.padding not in {"same", "valid"} and not upper:
        return context.fail(f"padding {list(window.pads)} is neither 'same' nor none")
    if window.size[0] < 5 or not 5 <= window.size[1] <= 384:
        return context.fail(f"the input map is 5 to 384 wide and at least 5 high, not {window.size[0]}x{window.size[1]}")
    if window.group != 1:
        return context.fail("the input layer has no groups")
    if block.node("Relu", "Clip") is None:
        return context.fail("the input layer needs a ReLU (or take --input-dtype int8)")
    if block.node("GlobalAveragePool") is not None:
        return context.fail("the input layer has no global average")
    pool = block.node("MaxPool")
    return pool is None or common.max_pool_fits(context, pool, (2, 3))


def check_conv(context: CheckContext, block: Block) -> bool:
    """Conv2D, DepthwiseConv2D, and the identity convolution that does what stands alone."""
    conv, pool = block.node("Conv"), block.node("MaxPool")
    if conv is not None and not _window_fits(context, conv):
        return False
    gap = block.node("GlobalAveragePool")
    mapped = graph.dims(block.nodes[0].outputs[0] if conv is not None else block.nodes[0].inputs[0]) or ()
    if len(mapped) != 4:
        return context.fail("only feature maps (4 axes)")
    if int(mapped[1] or 0) > MAX_CHANNELS:
        return context.fail(f"{MAX_CHANNELS} channels and filters at the most, not {mapped[1]}")
    if gap is not None and int(mapped[2] or 0) * int(mapped[3] or 0) > MAX_GAP_PIXELS:
        return context.fail(f"a global average of more than {MAX_GAP_PIXELS} pixels ({mapped[2]}x{mapped[3]})")
    if pool is None:
        return True
    if conv is not None and graph.attribute(conv, "strides")[0] == 2:
        return context.fail("pooling and stride 2 together")
    if any(user.op_type in {"Flatten", "Gemm"} for user, _ in pool.outputs[0].uses()):
        return context.fail("max pooling right before a dense layer")
    return common.max_pool_fits(context, pool, (1, 2))


def _window_fits(context: CheckContext, conv: ir.Node) -> bool:
    window = common.window(context, conv)
    if window is None:
        return False
    depthwise = common.is_depthwise(conv)
    if window.group != 1 and not depthwise:
        return context.fail(f"convolution in {window.group} groups: only 1, or one for each channel (depthwise)")
    kernels = (3, 5, 7) if depthwise else (1, 3, 5, 7)
    if window.kernel not in kernels:
        return context.fail(f"kernel is {', '.join(map(str, kernels))}, not {window.kernel}")
    if window.stride not in {1, 2} or (window.stride == 2 and window.kernel not in {1, 3}):
        return context.fail(f"stride {window.stride} with kernel {window.kernel}: only 1, or 2 with kernel 1 or 3")
    if window.padding != "same" and not (window.padding == "same-upper" and window.stride == 2):
        return context.fail(f"padding {list(window.pads)} is not 'same'")
    weight = graph.constant(conv.inputs[1])
    if weight is not None and max(weight.shape[0], weight.shape[1]) > MAX_CHANNELS:
        return context.fail(f"{MAX_CHANNELS} channels and filters at the most")
    return True


def check_readers(context: CheckContext, block: Block) -> bool:
    """An Add or a Concatenate must be followed by convolutions (or by what an identity convolution does)."""
    out = block.nodes[-1].outputs[0]
    follows = {user.op_type for user, _ in out.uses()}
    allowed = {"Conv", "ConvTranspose", "Add", "Concat", "Relu", "Clip", "GlobalAveragePool", "MaxPool"}
    if out.is_graph_output() or not follows or not follows <= allowed:
        return context.fail("must be followed by a convolution")
    return True
