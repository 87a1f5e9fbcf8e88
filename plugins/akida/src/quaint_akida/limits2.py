"""Limits of Akida 2's hardware (public hardware pages, "Akida 2.0"), as reasons that a user can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint import graph
from quaint.refusals import Excess, Refusal
from quaint_akida import common, widths
from quaint_akida.entrance import is_input, layout_alone, signed_input_fits
from quaint_akida.lut2 import TABLES
from quaint_akida.scaling2 import Scaled

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx_ir as ir

    from quaint.partition import Plan
    from quaint.patterns import Block, CheckContext

#: Largest stride of the input layer by kernel size.
INPUT_STRIDES = {3: 3, 4: 4, 5: 5, 7: 6}
#: Channels, filters, and inputs of a dense layer.
CHANNELS = 2048
GAP_PIXELS = 144
#: Kernels of a convolution inside the network.
KERNELS, DEPTHWISE_KERNELS = (1, 3, 5, 7), (3, 5, 7)
#: Frames that a buffer holds.
FRAMES = (2, 10)
#: The smallest filter (kernel * kernel * channels) that is known not to fit into a processor.
FILTER = 7 * 7 * 512
#: Shifts of an Add: between its inputs, and of the output relative to the larger of them.
SHIFT_DIFFERENCE, SHIFT_BELOW, SHIFT_ABOVE = 15, -3, 4
#: Operators that become layers of a convolution processor.
TABLED = (*TABLES, "PRelu", "Mul")
PROCESSED = frozenset({"Conv", "ConvTranspose", "Relu", "Clip", "GlobalAveragePool", "MaxPool", *TABLED})


def input_limit(window: common.Window) -> str | None:
    """What limit of the input layer for 8-bit images a window breaks; None if none."""
    if window.group != 1:
        return f"the input layer has one group, not {window.group}"
    if window.kernel not in INPUT_STRIDES:
        return f"the input layer's kernel is 3, 4, 5 or 7, not {window.kernel}"
    if window.stride > INPUT_STRIDES[window.kernel]:
        return f"the input layer's stride is {INPUT_STRIDES[window.kernel]} at the most, not {window.stride}"
    upper = window.padding == "same-upper" and window.stride == 2 and window.kernel in {3, 5, 7}
    if window.padding is None or (window.padding == "same-upper" and not upper):
        return f"padding {list(window.pads)} is neither 'same' nor none"
    return None


def check_input_conv(context: CheckContext, block: Block) -> bool:
    """The input layer for 8-bit images."""
    window = common.window(context, block.nodes[0])
    if window is None:
        return False
    reason = input_limit(window)
    refuse = context.exceed if window.group == 1 else context.fail
    if reason is not None and not refuse(reason):
        return False
    if window.size[0] < 5 or not 5 <= window.size[1] <= 384:
        reason = f"the input map is 5 to 384 wide and at least 5 high, not {window.size[0]}x{window.size[1]}"
        if not context.exceed(reason):
            return False
    if block.node("Relu", "Clip", *TABLED) is None:
        reason = "the input layer needs an activation: add a ReLU, or take --input-dtype int8"
        if not context.exceed(reason):
            return False
    if block.node("GlobalAveragePool") is not None and not context.exceed("the input layer has no global average"):
        return False
    pool = block.node("MaxPool")
    return pool is None or common.max_pool_fits(context, pool, ((2, 2), (3, 2)), window.padding or "same")


def check_conv(context: CheckContext, block: Block) -> bool:
    """Conv2D and DepthwiseConv2D."""
    conv, pool = block.nodes[0], block.node("MaxPool")
    window = common.window(context, conv)
    if window is None:
        return False
    channels, depthwise = int((graph.dims(conv.inputs[0]) or (0, 0))[1] or 0), common.is_depthwise(conv)
    reason = conv_limit(window, channels, depthwise=depthwise)
    refuse = context.exceed if window.group == 1 or depthwise else context.fail
    if reason is not None and not refuse(reason):
        return False
    source = block.bindings["x"]
    if is_input(source, context.config) and not signed_input_fits(context, source):
        return False
    if pool is not None and window.stride == 2 and not context.exceed("pooling and stride 2 together"):
        return False
    return check_map(context, block, conv.outputs[0])


def conv_limit(window: common.Window, channels: int, *, depthwise: bool) -> str | None:
    """What limit of Conv2D or DepthwiseConv2D a window over ``channels`` breaks; None if none."""
    if window.group != 1 and not depthwise:
        return f"convolution in {window.group} groups: only 1, or one for each channel (depthwise)"
    kernels = DEPTHWISE_KERNELS if depthwise else KERNELS
    if window.kernel not in kernels:
        return f"kernel is {', '.join(map(str, kernels))}, not {window.kernel}"
    if window.stride not in {1, 2} or (window.stride == 2 and window.kernel not in {1, 3}):
        return f"stride {window.stride} with kernel {window.kernel}: only 1, or 2 with kernel 1 or 3"
    if window.padding != "same" and not (window.padding == "same-upper" and window.stride == 2):
        return f"padding {list(window.pads)} is not 'same'"
    if channels > CHANNELS:
        return f"{CHANNELS} channels at the most, not {channels}: narrow the layer before it"
    if not depthwise and window.kernel**2 * channels >= FILTER:
        return (
            f"a filter of {window.kernel}x{window.kernel}x{channels} does not fit into a processor: make it separable"
        )
    return None


def check_map(context: CheckContext, block: Block, value: ir.Value) -> bool:
    """What becomes of the map ``value`` inside a layer: its filters, pooling and average."""
    size, pool = graph.dims(value) or (), block.node("MaxPool")
    if len(size) != 4 or not all(isinstance(n, int) for n in size[1:]):
        return context.fail("only feature maps (4 axes of known size)")
    if int(size[1] or 0) > CHANNELS and not context.exceed(f"{CHANNELS} filters at the most, not {size[1]}"):
        return False
    if block.node("GlobalAveragePool") is not None and int(size[2] or 0) * int(size[3] or 0) > GAP_PIXELS:
        reason = f"a global average of {size[2]}x{size[3]} pixels: {GAP_PIXELS} at the most"
        if not context.exceed(reason):
            return False
    if block.node("Flatten") is not None and size[2:] != (1, 1):
        return context.fail("flattens a map")
    if pool is None:
        return True
    lone = "max pooling needs a convolution after it (a dense layer is none)"
    followed = common.feeds(pool.outputs[0], PROCESSED) and goes_on(context, pool.outputs[0])
    if not followed and not context.exceed(lone):
        return False
    return common.max_pool_fits(context, pool, ((2, 2), (2, 1)), "same")


def check_frames(context: CheckContext, block: Block) -> bool:
    """BufferTempConv and DepthwiseBufferTempConv."""
    node = block.nodes[0]
    kernel, pads = graph.attribute(node, "kernel_shape"), graph.attribute(node, "pads")
    group = graph.attribute(node, "group", 1)
    if len(kernel) not in {1, 3} or any(size != 1 for size in kernel[1:]):
        return context.fail("only a convolution over time (axis 2) alone remembers frames")
    many = f"remembers {FRAMES[0]} to {FRAMES[1]} frames, not {kernel[0]}"
    if not FRAMES[0] <= kernel[0] <= FRAMES[1] and not context.exceed(many):
        return False
    if list(pads) != [kernel[0] - 1, *[0] * (2 * len(kernel) - 1)]:
        wanted = f"{kernel[0] - 1} at the start and none at the end"
        return context.fail(f"pads {list(pads)}: a frame sees only those before it, so {wanted}")
    if any(n != 1 for name in ("strides", "dilations") for n in graph.attribute(node, name)):
        return context.fail("strides or dilations over time")
    return group == 1 or common.is_depthwise(node) or context.fail("groups other than one for each channel")


def check_transpose(context: CheckContext, block: Block) -> bool:
    """Conv2DTranspose and its depthwise form."""
    node = block.nodes[0]
    weight, group = graph.constant(node.inputs[1]), graph.attribute(node, "group", 1)
    kernel, pads = graph.attribute(node, "kernel_shape"), graph.attribute(node, "pads")
    if tuple(kernel) not in {(3, 3), (4, 4)} or tuple(graph.attribute(node, "strides")) != (2, 2):
        return context.fail("transposed convolution has kernel 3 or 4 and stride 2")
    begin = (kernel[0] - 2) // 2
    wanted = [begin, begin, kernel[0] - 2 - begin, kernel[0] - 2 - begin]
    if list(pads) != wanted or any(graph.attribute(node, "output_padding", ())):
        return context.fail(f"pads must be {wanted}, so that the output has twice the input's size")
    if any(step != 1 for step in graph.attribute(node, "dilations", ())):
        return context.fail("dilation")
    depthwise = weight is not None and group > 1 and weight.shape[:2] == (group, 1)
    return group == 1 or depthwise or context.fail("groups other than one for each channel")


def check_dense(context: CheckContext, block: Block, x: ir.Value) -> bool:
    """Dense1D."""
    weight = graph.constant(block.bindings["weight"])
    if weight is not None and weight.shape[1] > CHANNELS:
        reason = f"{CHANNELS} inputs at the most, not {weight.shape[1]}"
        if not context.exceed(reason):
            return False
    return not is_input(x, context.config) or signed_input_fits(context, x)


def goes_on(context: CheckContext, value: ir.Value) -> bool:
    """Whether the chip runs all that reads a value."""
    return all(user in context.claimed for user, _ in value.uses())


def check_readers(context: CheckContext, block: Block) -> bool:
    """An Add or a Concatenate must be followed by convolutions (or by what an identity convolution does)."""
    out = block.nodes[-1].outputs[0]
    follows = {user.op_type for user, _ in out.uses()}
    fits = not out.is_graph_output() and follows & PROCESSED and follows <= PROCESSED | {"Add", "Concat"}
    if not (fits and goes_on(context, out)):
        return context.exceed("must be followed by a convolution: put an identity 1x1 convolution after it")
    return True


def check_widths(plan: Plan) -> Iterable[Refusal]:
    """Weights may not have more bits than the layer's input; narrow weights of a dense layer need a narrow or raw output."""
    from quaint.specs import resolve_specs, weight_spec

    yield from layout_alone(plan)
    yield from widths.excesses(plan)
    specs = resolve_specs(plan)
    for block in plan.blocks:
        if not isinstance(block.pattern, Scaled):
            continue
        first = is_input(block.bindings["x"], plan.config)
        bits = weight_spec(plan.target, plan.config, block, reads_input=first).dtype.bits
        source, out = specs[block.inputs[0]], specs[block.outputs[0]]
        if source is not None and bits > source.dtype.bits:
            reason = f"its input has {source.dtype.bits} bits, so its weights can't have {bits}: take 4-bit weights too"
            yield Excess(block.name, block.nodes[0].op_type, reason)
        if block.node("Gemm") is not None and bits == 4 and out is not None and out.dtype.bits != 4:
            yield Excess(
                block.name, "Gemm", "4-bit weights need an output of 4 bits, or no ReLU and to be the last layer"
            )
        if first and bits != 8 and source is not None and not source.dtype.signed:
            yield Excess(block.name, block.nodes[0].op_type, "the input layer for images has 8-bit weights")
