"""Limits of Akida 1's hardware (public hardware pages, "Akida 1.0"), as reasons that a user can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint import graph
from quaint.refusals import Refusal
from quaint_akida import common
from quaint_akida.entrance import layout_alone

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx_ir as ir

    from quaint.partition import Plan
    from quaint.patterns import Block, CheckContext

#: Most filters of the input layer by kernel size: for one channel and for three.
INPUT_FILTERS = {3: (512, 192), 5: (192, 64), 7: (96, 32)}
CHANNELS = 2048
DENSE_INPUTS = 57_334
#: Edge of a map that is averaged; pixels after a depthwise convolution, whose sums have fewer bits to spare.
GAP_EDGE, SEPARABLE_GAP_PIXELS = 32, 256
#: The smallest filter (kernel * kernel * channels, 4 bits) that is known not to fit into a processor.
FILTER = 3 * 3 * 512
#: Operators that become layers of a convolution processor, on a pooled map.
PROCESSED = frozenset({"Conv", "GlobalAveragePool"})
NOT_SAME = "padding {} is not 'same' (the odd row at the end): pad the end only, or train with such padding"


def input_limit(window: common.Window, filters: int, channels: int) -> str | None:
    """What limit of InputConvolutional ``filters`` with a window over ``channels`` break; None if none."""
    if window.kernel not in INPUT_FILTERS:
        return f"the input layer's kernel is 3, 5 or 7, not {window.kernel}"
    if window.stride not in {1, 2, 3}:
        return f"the input layer's stride is 1 to 3, not {window.stride}"
    if window.padding not in {"same", "valid"}:
        return NOT_SAME.format(list(window.pads))
    most = INPUT_FILTERS[window.kernel][channels == 3]
    return f"the input layer has {most} filters at the most here, not {filters}" if filters > most else None


def conv_limit(window: common.Window, channels: int, *, depthwise: bool) -> str | None:
    """What limit of Convolutional, or of SeparableConvolutional's depthwise half, a window breaks; None if none."""
    if depthwise and window.kernel not in {3, 5, 7}:
        return f"depthwise kernel is 3, 5 or 7, not {window.kernel}"
    if window.kernel not in {1, 3, 5, 7}:
        return f"kernel is 1, 3, 5 or 7, not {window.kernel}"
    if not depthwise and window.kernel**2 * channels >= FILTER:
        return f"a filter of {window.kernel}x{window.kernel}x{channels} does not fit: make it separable"
    if window.stride != 1 and (window.stride, window.kernel) != (2, 3):
        return f"stride {window.stride} with kernel {window.kernel}: only 1, or 2 with kernel 3"
    return None if window.padding == "same" else NOT_SAME.format(list(window.pads))


def check_input(context: CheckContext, window: common.Window, block: Block) -> bool:
    """InputConvolutional."""
    filters, channels = (graph.dims(block.nodes[0].inputs[1]) or (0, 0))[:2]
    if channels not in {1, 3}:
        return context.fail(f"the input layer takes 1 or 3 channels, not {channels}")
    reason = input_limit(window, int(filters or 0), int(channels or 0))
    if reason is not None:
        return context.fail(reason)
    if min(window.size) < 5 or window.size[1] > 256:
        return context.fail(
            f"the input map is 5 to 256 wide and at least 5 high, not {window.size[0]}x{window.size[1]}"
        )
    if block.node("Relu", "Clip") is None or block.node("GlobalAveragePool") is not None:
        return context.fail("the input layer needs a ReLU, and no global average")
    pool = block.node("MaxPool")
    return pool is None or _pool_fits(context, pool, ((2, 2),), window.padding or "same")


def check_inner(context: CheckContext, window: common.Window, block: Block) -> bool:
    """Convolutional."""
    filters, channels = (int(n or 0) for n in (graph.dims(block.nodes[0].inputs[1]) or (0, 0))[:2])
    reason = conv_limit(window, channels, depthwise=False)
    return context.fail(reason) if reason is not None else check_behind(context, window, block, max(filters, channels))


def alone(window: common.Window) -> str:
    """What is wrong with a convolution in groups that no pointwise one follows at once, and what may be done."""
    fits = window.kernel**2 * window.group < FILTER
    other = ", or as a full one with zeros between channels" if fits else ""
    return (
        "a depthwise convolution needs a pointwise one right after it, without activation between: train it so" + other
    )


def check_separable(context: CheckContext, window: common.Window, block: Block) -> bool:
    """SeparableConvolutional."""
    filters, channels = (int(n or 0) for n in (graph.dims(block.nodes[1].inputs[1]) or (0, 0))[:2])
    reason = conv_limit(window, channels, depthwise=True)
    if reason is not None:
        return context.fail(reason)
    average = block.node("GlobalAveragePool")
    if average is not None and common.map_pixels(average.inputs[0]) > SEPARABLE_GAP_PIXELS:
        return context.fail(
            f"a global average of more than {SEPARABLE_GAP_PIXELS} pixels after a depthwise convolution"
        )
    return check_behind(context, window, block, max(filters, channels))


def check_behind(context: CheckContext, window: common.Window, block: Block, channels: int) -> bool:
    """Channels, and pooling or average, of Convolutional and SeparableConvolutional."""
    if channels > CHANNELS:
        return context.fail(f"{CHANNELS} channels and filters at the most, not {channels}")
    average, pool = block.node("GlobalAveragePool"), block.node("MaxPool")
    if average is not None and not check_average(context, average.inputs[0]):
        return False
    if pool is None:
        return True
    if window.stride == 2:
        return context.fail("pooling and stride 2 together")
    return _pool_fits(context, pool, ((2, 2), (2, 1)), "same")


def check_average(context: CheckContext, value: ir.Value | None) -> bool:
    """A global average of a map."""
    size = (graph.dims(value) or ())[2:]
    if len(size) == 2 and all(isinstance(n, int) and n <= GAP_EDGE for n in size):
        return True
    return context.fail(f"a global average of more than {GAP_EDGE}x{GAP_EDGE}")


def _pool_fits(context: CheckContext, pool: ir.Node, sizes: tuple[tuple[int, int], ...], padding: str) -> bool:
    if not common.feeds(pool.outputs[0], PROCESSED):
        return context.fail("max pooling needs a convolution after it (a dense layer is none)")
    return common.max_pool_fits(context, pool, sizes, padding)


def sequential(plan: Plan) -> Iterable[Refusal]:
    """The chip runs one chain of layers: refuse tensors that two of them read."""
    yield from layout_alone(plan)
    for name, readers in plan.consumers.items():
        if len(readers) > 1:
            made = plan.producers.get(name)
            where, op_type = (made.name, made.nodes[0].op_type) if made else (name, "input")
            yield Refusal(where, op_type, f"{len(readers)} layers read its output, the chip runs one chain of layers")
    if len(plan.outputs) > 1:
        last = plan.blocks[-1]
        yield Refusal(last.name, last.nodes[0].op_type, f"{len(plan.outputs)} tensors leave the chip, not one")
