"""The model's input: which integers enter, and a channel-last input, whose transposition costs nothing on these chips."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quaint import graph
from quaint.integer import Layer
from quaint.numerics import IntType, QuantParams, QuantSpec, ScaleKind
from quaint.patterns import Builder, Pattern
from quaint.refusals import Refusal
from quaint_akida.common import is_depthwise
from quaint_akida.lut2 import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir

    from quaint.config import Config
    from quaint.lower import Lowering
    from quaint.partition import Plan
    from quaint.patterns import Block, CheckContext

INT8 = IntType(8, signed=True)
#: To channels first, and back to last: maps, frames of a stream ([N, frames, H, W, C]), a series ([N, steps, C]).
TO_FIRST = frozenset({(0, 3, 1, 2), (0, 4, 1, 2, 3), (0, 2, 1)})
TO_LAST = frozenset({(0, 2, 3, 1), (0, 2, 3, 4, 1), (0, 2, 1)})


def _source(value: ir.Value) -> ir.Value:
    """What a value is a mere cast, rearrangement or rescaling of."""
    producer = graph.producer(value, "Cast", "Transpose", "Reshape", "Mul", "Add")
    inputs = [source for source in producer.inputs if graph.constant(source) is None] if producer is not None else []
    source = inputs[0] if len(inputs) == 1 else None
    return value if source is None else _source(source)


def is_input(value: ir.Value, config: Config) -> bool:
    """Whether a value enters the chip: the model's input, cast or rearranged at the most, or made before ``from_node``."""
    return _source(value).is_graph_input() or (config.from_node is not None and not _follows(value, config.from_node))


def _follows(value: ir.Value, name: str) -> bool:
    """Whether a node of this name is among those that a value is computed by."""
    pending, seen = [value], set()
    while pending:
        producer = pending.pop().producer()
        if producer is None or producer in seen:
            continue
        if producer.name == name:
            return True
        seen.add(producer)
        pending += [source for source in producer.inputs if source is not None]
    return False


def takes_image(value: ir.Value, config: Config) -> bool:
    """Whether an entering value goes to the input layer for 8-bit images."""
    return is_input(value, config) and is_image(value, value, config)


def is_image(value: ir.Value, entering: ir.Value, config: Config) -> bool:
    """Whether ``value``, made of what enters, suits the input layer for 8-bit images.

    That layer takes 1 or 3 channels of unsigned integers; everything else takes signed ones.
    """
    channels = (graph.dims(value) or (0, 0))[1]
    readers = [user for user, _ in value.uses()]
    convolved = all(user.op_type == "Conv" and not is_depthwise(user) for user in readers)
    unsigned = config.input_dtype in {None, "float32", "uint8"} and str(_source(entering).dtype) != "INT8"
    return channels in {1, 3} and unsigned and convolved


def entering_spec(spec: QuantSpec, value: ir.Value, config: Config) -> QuantSpec:
    """How an entering value is quantized: an image as the target says, anything else as int8 with fractional bits."""
    if takes_image(value, config):
        return spec
    axis = spec.axis if graph.rank(value) == 4 else None
    return replace(spec, dtype=INT8, symmetric=True, scale=ScaleKind.FIXED_POINT, axis=axis)


def signed_input_fits(context: CheckContext, value: ir.Value) -> bool:
    """Whether a layer that is no input layer for images may read the model's input: only int8 enters there."""
    if context.config.input_dtype != "uint8" and str(_source(value).dtype) != "UINT8":
        return True
    return context.fail("uint8 enters only through a convolution (not depthwise) of 1 or 3 channels: use int8 here")


def is_series(node: ir.Node) -> bool:
    """Whether a transposition brings a series to convolutions, or what convolutions made of one to the model's output.

    Other transpositions of three axes are those of tokens.
    """
    if graph.attribute(node, "perm") != (0, 2, 1):
        return False
    readers = {user.op_type for user, _ in node.outputs[0].uses()}
    return readers == {"Conv"} or (node.outputs[0].is_graph_output() and not readers and _is_convolved(node.inputs[0]))


def _is_convolved(value: ir.Value | None) -> bool:
    made = graph.producer(value)
    if made is None or made.op_type not in {"Conv", "Relu", "Clip", "PRelu", "Mul", *TABLES}:
        return False
    return made.op_type == "Conv" or _is_convolved(made.inputs[0])


class ChannelsLast(Pattern):
    """An input laid out [N, H, W, C]: as the chip has it, so that the transposition to ONNX's order is no work."""

    entrance = True

    def pattern(self, op: Builder, x: Any, shape: Any) -> Any:  # noqa: D102
        return op.Transpose(x), op.Reshape(x, shape)

    def check(self, context: CheckContext, block: Block, x: Any, **_: Any) -> bool:  # noqa: D102
        node = block.nodes[0]
        if not is_input(x, context.config):
            return context.fail("a tensor inside the network keeps its layout")
        if node.op_type == "Transpose":
            perm = graph.attribute(node, "perm")
            fits = perm in TO_FIRST and (len(perm) > 3 or is_series(node))
            return fits or context.fail("only from [N, H, W, C] to [N, C, H, W]")
        shape = graph.dims(node.outputs[0]) or ()
        return (len(shape) == 4 and shape[1] == 1) or context.fail("only to one channel, [N, 1, H, W]")

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:  # noqa: ARG002, D102
        return None

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:  # noqa: ARG002, D102
        out = block.nodes[0].outputs[0]
        spec = entering_spec(spec, out, context.config)
        return replace(spec, axis=None if spec.axis is None or block.node("Reshape") else (graph.rank(out) or 4) - 1)

    def lower(self, block: Block, context: Lowering) -> Layer:  # noqa: D102
        source, node = context.params[block.inputs[0]], block.nodes[0]
        axis = None if source.axis is None else 1
        context.refine(block.outputs[0], QuantParams(source.scale, source.dtype, source.zero_point, axis))
        if node.op_type == "Transpose":
            return Layer("transpose", block.inputs, block.outputs, {}, {"perm": list(graph.attribute(node, "perm"))})
        size = context.shape(block.outputs[0])[1:]
        return Layer("reshape", block.inputs, block.outputs, {}, {"shape": [0, *(int(n or 0) for n in size)]})


class ChannelsLastOutput(Pattern):
    """An output laid out [N, H, W, C]: as the chip has it."""

    def pattern(self, op: Builder, x: Any) -> Any:  # noqa: D102
        return op.Transpose(x)

    def check(self, context: CheckContext, block: Block, x: Any, **_: Any) -> bool:  # noqa: ARG002, D102
        node = block.nodes[0]
        perm = graph.attribute(node, "perm")
        if not node.outputs[0].is_graph_output() or perm not in TO_LAST or (len(perm) == 3 and not is_series(node)):
            return context.fail("a tensor inside the network keeps its layout")
        return True

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:  # noqa: ARG002, D102
        return None

    def lower(self, block: Block, context: Lowering) -> Layer:  # noqa: D102
        source, perm = context.params[block.inputs[0]], graph.attribute(block.nodes[0], "perm")
        axis = None if source.axis is None else len(perm) - 1
        context.refine(block.outputs[0], QuantParams(source.scale, source.dtype, source.zero_point, axis))
        return Layer("transpose", block.inputs, block.outputs, {}, {"perm": list(perm)})


def layout_alone(plan: Plan) -> Iterator[Refusal]:
    """Refuse a model of which nothing but the form of its input would be on the chip."""
    if all(block.pattern.entrance for block in plan.blocks):
        node = plan.blocks[0].nodes[0]
        yield Refusal(node.name or "", node.op_type, "no layer of the chip follows")
