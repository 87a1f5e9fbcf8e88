"""``x * scale + offset`` at the model's entrance: no work for the chip, another meaning of the integers that enter.

Where an integer q enters for ``x = s * (q - z)``, it stands for ``x * scale + offset = s * scale * (q - z')`` with
``z' = z - offset / (s * scale)``. What z' has after the point goes into the first layer's bias; its border, where it pads,
is the nearest integer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.numerics import QuantParams, QuantSpec
from quaint.patterns import Builder, Pattern
from quaint_akida import common
from quaint_akida.entrance import TO_FIRST, entering_spec, is_input

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.patterns import Block, CheckContext

    Floats = NDArray[np.float64]


class Rescaling(Pattern):
    """A scale and an offset, for all channels or one for each, of what enters; from [N, H, W, C] too."""

    entrance = True

    def pattern(self, op: Builder, x: Any, scale: Any, offset: Any) -> Any:  # noqa: D102
        forms = (
            op.Add(op.Mul(x, scale), offset),
            op.Mul(op.Add(x, offset), scale),
            op.Mul(x, scale),
            op.Add(x, offset),
        )
        return (*(op.Transpose(form) for form in forms), *forms)

    def check(self, context: CheckContext, block: Block, x: Any, **bindings: Any) -> bool:  # noqa: D102
        if any(graph.constant(value) is None for value in bindings.values()):
            op_type = block.nodes[0].op_type
            return context.fail(f"no layer takes the two tensors of this {op_type}: train without it")
        if not is_input(x, context.config):
            return context.fail("a scale or an offset inside the network: fold it into a layer with weights")
        transpose = block.node("Transpose")
        if transpose is not None and graph.attribute(transpose, "perm") not in TO_FIRST:
            return context.fail("only from [N, H, W, C] to [N, C, H, W]")
        for name in ("scale", "offset"):
            if name in bindings and _by_channel(bindings[name], _channel_axis(block), graph.rank(x)) is None:
                return context.fail("only constants, for all channels or one for each")
        if "scale" in bindings and not (block.constant("scale") > 0).all():
            return context.fail("its scale is not positive")
        return True

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:  # noqa: ARG002, D102
        return None

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:  # noqa: ARG002, D102
        entered = entering_spec(spec, _entered(block.nodes[-1].outputs[0]), context.config)
        axis = None if entered.axis is None else _channel_axis(block)
        return QuantSpec(entered.dtype, entered.scale, axis, entered.symmetric, entered.observer, entered.narrow)

    def lower(self, block: Block, context: Lowering) -> Layer:  # noqa: D102
        source, (scale, zero) = context.params[block.inputs[0]], exact(block, context)
        axis = 1 if scale.ndim else None
        context.refine(block.outputs[0], QuantParams(scale, source.dtype, np.rint(zero).astype(np.int64), axis))
        transpose = block.node("Transpose")
        if transpose is not None:
            return Layer(
                "transpose", block.inputs, block.outputs, {}, {"perm": list(graph.attribute(transpose, "perm"))}
            )
        size = context.shape(block.outputs[0])[1:]
        return Layer("reshape", block.inputs, block.outputs, {}, {"shape": [0, *(int(n or 0) for n in size)]})


def exact(block: Block, context: Lowering) -> tuple[Floats, Floats]:
    """Scale of what leaves a rescaling and its zero point, which need not be whole; vectors where channels differ."""
    source, axis, length = context.params[block.inputs[0]], _channel_axis(block), len(context.shape(block.inputs[0]))
    constants = {
        name: found
        for name in ("scale", "offset")
        if name in block.bindings and (found := _by_channel(block.bindings[name], axis, length)) is not None
    }
    scale, offset = constants.get("scale", np.ones(())), constants.get("offset", np.zeros(()))
    inner = next(node for node in block.nodes if node.op_type in {"Mul", "Add"})
    step = source.scale * scale
    zero = source.zero_point - offset / (source.scale if inner.op_type == "Add" else step)
    shape = np.broadcast_shapes(step.shape, zero.shape)
    return np.array(np.broadcast_to(step, shape)), np.array(np.broadcast_to(zero, shape))


def zero_point(context: Lowering, name: str, channels: int) -> Floats:
    """The exact zero points of what a layer reads, one for each channel: fractions where the entrance rescales."""
    maker = context.plan.producers.get(name)
    while maker is not None and not isinstance(maker.pattern, Rescaling) and is_layout(maker):
        maker = context.plan.producers.get(maker.inputs[0])
    if maker is None or not isinstance(maker.pattern, Rescaling):
        return common.zero_point(context.params[name], channels).astype(np.float64)
    return np.array(np.broadcast_to(exact(maker, context)[1], (channels,)))


def border(context: Lowering, block: Block, zeros: Floats, high: int = 255) -> NDArray[np.uint8]:
    """The integers from 0 to ``high`` nearest to zero: a first layer's border, with a warning where zero lies beyond them."""
    nearest = np.rint(zeros)
    found = np.clip(nearest, 0, high)
    if any(graph.attribute(block.nodes[0], "pads")) and (found != nearest).any():
        listed = " ".join(f"{value:g}" for value in nearest.reshape(-1))
        what = f"its border is {f'0 to {high}' if high else 0}, where zero would be {listed}"
        context.warnings.append(f"layer {block.name!r}: {what}: pixels at the border differ from the float model's")
    return found.astype(np.uint8)


def one_border(value: ir.Value) -> bool:
    """Whether zero stands for one integer in all channels of an entering value: a chip may have one border for all."""
    offset, factor = np.zeros(()), np.ones(())
    while (node := graph.producer(value, "Cast", "Transpose", "Reshape", "Mul", "Add")) is not None:
        constants = [found for source in node.inputs if (found := graph.constant(source)) is not None]
        if node.op_type == "Mul" and constants:
            factor = factor * constants[0].reshape(-1)
        elif node.op_type == "Add" and constants:
            offset = offset + factor * constants[0].reshape(-1)
        value = next(source for source in node.inputs if source is not None and graph.constant(source) is None)
    borders = offset / factor
    return bool(np.allclose(borders, borders.flat[0]))


def is_layout(block: Block) -> bool:
    """Whether a block only rearranges."""
    return all(node.op_type in {"Transpose", "Reshape"} for node in block.nodes)


def _channel_axis(block: Block) -> int:
    """Where the channels of what enters a rescaling are."""
    out = block.nodes[-1].outputs[0]
    later = any(user.op_type == "Transpose" for user, _ in out.uses())
    return (graph.rank(out) or 4) - 1 if block.node("Transpose") is not None or later else 1


def _entered(value: ir.Value) -> ir.Value:
    """What the first layer reads, of a value that is rearranged before."""
    users = [user for user, _ in value.uses()]
    return _entered(users[0].outputs[0]) if len(users) == 1 and users[0].op_type == "Transpose" else value


def _by_channel(value: ir.Value, axis: int, length: int | None) -> Floats | None:
    """A constant as a scalar, or as a vector along ``axis`` of ``length`` axes; None if it is neither."""
    array = graph.constant(value)
    if array is None or length is None or array.ndim > length:
        return None
    if array.size == 1:
        return np.asarray(array.reshape(()), np.float64)
    shape = (1,) * (length - array.ndim) + array.shape
    alone = all(extent == 1 for index, extent in enumerate(shape) if index != axis)
    return np.asarray(array.reshape(-1), np.float64) if alone else None
