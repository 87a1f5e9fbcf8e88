"""Layers of transformers, as QuantizeML 0.7 had them: for the simulators and ONNX, since today's akida runtime has none.

A float model has them written out in ONNX operators on [batch, tokens, channels]; Keras models with QuantizeML's layers are
read to the same forms (``keras_layers``). Every tensor has one power-of-two scale, so that a shift aligns any two.
"""

from __future__ import annotations

from dataclasses import replace
from math import log, log2
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.numerics import FixedPoint, IntType, QuantParams, QuantSpec, ScaleKind
from quaint.patterns import Builder, Operator, Pattern
from quaint_akida import widths
from quaint_akida.entrance import entering_spec, is_input, signed_input_fits
from quaint_akida.transformer_kernels import EXP_BITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.patterns import Block, CheckContext

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

#: Bits that LayerMadNormalization leaves to the output's scale.
SCALE_BITS = 8
NOT_IN_RUNTIME = "the akida runtime has no such layer, only the simulators"


def frac_bits(params: QuantParams) -> int:
    """Fractional bits of a tensor of one power-of-two scale."""
    return -int(params.exponents)


def per_tensor(spec: QuantSpec) -> QuantSpec:
    """One power-of-two scale for a whole tensor."""
    return replace(spec, axis=None, scale=ScaleKind.FIXED_POINT)


def only_simulated(context: CheckContext, *values: ir.Value | None) -> bool:
    """Whether the simulators will do, and what enters the chip may enter here."""
    entering = [value for value in values if value is not None and is_input(value, context.config)]
    return all(signed_input_fits(context, value) for value in entering) and context.exceed(NOT_IN_RUNTIME)


def entering_tokens(spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
    """How a layer's input is quantized: what enters the chip as int8, the rest as wished."""
    value = next(x for x in block.bindings.values() if getattr(x, "name", None) == block.inputs[index])
    return per_tensor(entering_spec(spec, value, context.config) if is_input(value, context.config) else spec)


class Tokens(Pattern):
    """A layer whose tensors have one power-of-two scale each, and signed integers."""

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
        """What enters the chip is int8; the rest as wished."""
        return entering_tokens(spec, block, index, context)

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        """Integers of the wished width."""
        bits = widths.output_type(block, context.config, 8, rectified=False).bits
        return replace(per_tensor(spec), dtype=IntType(bits, signed=True))

    def ending(self, block: Block, context: Lowering, frac: int) -> dict[str, int]:
        """Attributes of the output quantizer, from ``frac`` fractional bits on, and the buffer's width."""
        out = context.params[block.outputs[0]]
        shift = {"output_shift": frac - frac_bits(out), "output_bits": out.dtype.bits}
        return shift | {"buffer_bits": buffer_bits(block, context)}

    def learned(self, block: Block, context: Lowering, values: Floats) -> tuple[Ints, int, int]:
        """Learned values with the input's fractional bits or more, how far the input must be shifted to them, and that number."""
        dtype, source = context.weight_spec(block).dtype, frac_bits(context.params[block.inputs[0]])
        own = min(fitting(values, dtype), source + buffer_bits(block, context) - 2 - dtype.bits)
        frac = max(own, source)
        return FixedPoint.quantize(values, own, dtype).values << (frac - own), frac - source, frac


def buffer_bits(block: Block, context: CheckContext) -> int:
    """Width of a layer's buffer."""
    return widths.buffers(block, context.config, 32).get("buffer_bits", 32)


def fitting(values: Floats, dtype: IntType) -> int:
    """Fractional bits at which all of ``values`` fit."""
    return int(FixedPoint.bits_for(np.abs(values).max(), dtype))


def _shiftmax(op: Builder, x: Any, two: Any, ln2: Any, axis: Any, sum_axis: Any) -> Iterator[Operator]:
    """``2**(l - round(log2(sum(2**l))))`` with ``l = floor(x) - max(floor(x))``, in the forms that canonical models have."""
    whole = op.Floor(x)
    for largest in (op.ReduceMax(whole, axis), op.GlobalMaxPool(whole)):
        logits = op.Sub(whole, largest)
        total = op.ReduceSum(op.Pow(two, logits), sum_axis)
        for log2_total in (op.Div(op.Log(total), ln2), op.Mul(op.Log(total), ln2)):
            yield op.Pow(two, op.Sub(logits, op.Round(log2_total)))


def _is_shiftmax(context: CheckContext, block: Block, two: ir.Value, ln2: ir.Value) -> bool:
    """Whether bases and axes are those of a Shiftmax over the last axis, and the buffer has room for its sum."""
    logarithm, largest = block.node("Log"), block.node("ReduceMax", "GlobalMaxPool")
    if logarithm is None or largest is None:
        return False
    divided = next(user for user, _ in logarithm.outputs[0].uses()).op_type == "Div"
    base = graph.scalar(ln2) or 0.0
    if graph.scalar(two) != 2 or not np.isclose(base, log(2) if divided else 1 / log(2), rtol=1e-5):
        return context.fail("its exponentials and its logarithm are not to base 2")
    sizes = [graph.dims(node.inputs[0]) or () for node in (largest, block.node("ReduceSum")) if node is not None]
    reduced = [graph.dims(node.outputs[0]) or () for node in (largest, block.node("ReduceSum")) if node is not None]
    if any(after != (*before[:-1], 1) for before, after in zip(sizes, reduced, strict=True)):
        return context.fail("its maximum and its sum are not along the last axis")
    if not all(isinstance(n, int) for n in sizes[0][1:]):
        return context.fail("its sizes are not known")
    if buffer_bits(block, context) <= 2 * EXP_BITS:
        return context.fail(f"its buffer must have more than {2 * EXP_BITS} bits")
    return True


class Shiftmax(Tokens):
    """Softmax in powers of two over the last axis."""

    def pattern(self, op: Builder, x: Any, two: Any, ln2: Any, axis: Any, sum_axis: Any) -> Any:
        return tuple(_shiftmax(op, x, two, ln2, axis, sum_axis))

    def check(self, context: CheckContext, block: Block, x: Any, two: Any, ln2: Any, **_: Any) -> bool:
        if not _is_shiftmax(context, block, two, ln2):
            return False
        mask = block.nodes[-1].outputs[0]
        mixes = any(user.op_type == "MatMul" for user, _ in mask.uses())
        if mixes and (mask.is_graph_output() or graph.sole_consumer(mask) is None):
            return context.fail("attention keeps its mask to itself: read the mask nowhere else")
        return only_simulated(context, x)

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        """Fractional bits of its own."""
        return None

    def lower(self, block: Block, context: Lowering) -> Layer:
        context.refine(block.outputs[0], QuantParams(np.exp2(-EXP_BITS), IntType(EXP_BITS + 2, signed=True)))
        attributes = {"frac_bits": frac_bits(context.params[block.inputs[0]]), "exp_bits": EXP_BITS}
        attributes["buffer_bits"] = buffer_bits(block, context)
        return Layer("shiftmax", block.inputs, block.outputs, {}, attributes)


class Attention(Tokens):
    """Attention of several heads through a Shiftmax.

    Scores are shifted by the power of two that is nearest to their scale, ``1 / sqrt(channels / heads)`` as a rule.
    """

    SPLIT, TURNED = (0, 2, 1, 3), (0, 2, 3, 1)

    def pattern(
        self, op: Builder, query: Any, key: Any, value: Any, scale: Any, two: Any, ln2: Any, axis: Any, sum_axis: Any,
        query_shape: Any, key_shape: Any, value_shape: Any, shape: Any,
    ) -> Any:  # fmt: skip
        shapes = ((query, query_shape), (key, key_shape), (value, value_shape))
        queries, keys, values = (op.Transpose(op.Reshape(x, split)) for x, split in shapes)
        scores = op.MatMul(queries, keys)
        forms = [op.Mul(scores, scale), op.Div(scores, scale)]
        masks = [mask for form in forms for mask in _shiftmax(op, form, two, ln2, axis, sum_axis)]
        return tuple(op.Reshape(op.Transpose(op.MatMul(mask, values)), shape) for mask in masks)

    def check(self, context: CheckContext, block: Block, query: Any, key: Any, value: Any, **bound: Any) -> bool:
        if not _is_shiftmax(context, block, bound["two"], bound["ln2"]):
            return False
        if _heads(block) is None:
            return context.fail(
                "its heads are not [batch, tokens, heads, channels / heads], transposed in the common way"
            )
        scale = _score_scale(block)
        if not 0 < scale < np.inf or _score_shift(block) < 0:
            return context.fail("its scores are scaled by more than 1, or by no constant")
        return only_simulated(context, query, key, value)

    def lower(self, block: Block, context: Lowering) -> Layer:
        shift, scale = _score_shift(block), _score_scale(block)
        if not np.isclose(scale, 2.0**-shift, rtol=1e-5):
            what = f"layer {block.name!r}: its scores are shifted by {shift} bits, which is not its scale {scale:.4g}"
            context.warnings.append(what)
        query, key, value = (frac_bits(context.params[name]) for name in block.inputs)
        attributes = {
            "heads": _heads(block) or 1,
            "score_shift": shift,
            "frac_bits": query + key,
            "exp_bits": EXP_BITS,
        }
        attributes |= self.ending(block, context, EXP_BITS + value)
        return Layer("attention", block.inputs, block.outputs, {}, attributes)


def _channels(value: ir.Value) -> int:
    size = (graph.dims(value) or (0,))[-1]
    return size if isinstance(size, int) else 0


def _score_scale(block: Block) -> float:
    """What scores are multiplied by; 0 where that is no constant."""
    scale = graph.scalar(block.bindings["scale"]) or 0.0
    scores = next(node for node in block.nodes if node.op_type == "MatMul").outputs[0]
    divided = next(user for user, _ in scores.uses()).op_type == "Div"
    return 1 / scale if divided and scale else scale


def _score_shift(block: Block) -> int:
    """The right shift that is nearest to that scale; half-way, the even one."""
    return round(round(-log2(_score_scale(block)), 6))


def _heads(block: Block) -> int | None:
    """Number of heads; None where tensors are split, turned or merged in another way than an attention's."""
    first, second = (node for node in block.nodes if node.op_type == "MatMul")
    turns = [value.producer() for value in (*first.inputs, second.inputs[1]) if value is not None]
    perms = [graph.attribute(node, "perm") for node in (*turns, block.nodes[-2]) if node is not None]
    if perms != [Attention.SPLIT, Attention.TURNED, Attention.SPLIT, Attention.SPLIT]:
        return None
    split = [graph.dims(node.inputs[0]) or () for node in turns if node is not None]
    found = {sizes[2:] for sizes in split}
    for sizes, name in zip(split, ("query", "key", "value"), strict=True):
        given = graph.dims(block.bindings[name]) or ()
        if len(given) != 3 or len(sizes) != 4 or sizes[1] != given[1] or _channels(block.bindings[name]) == 0:
            return None
    same = graph.dims(block.nodes[-1].outputs[0]) == graph.dims(block.bindings["query"])
    heads = next(iter(found))[0]
    return heads if len(found) == 1 and same and isinstance(heads, int) else None


class LayerMadNormalization(Tokens):
    """``gamma * x / mean(|x|) + beta`` over the channels: the mean is not subtracted."""

    def pattern(self, op: Builder, x: Any, axis: Any, gamma: Any, beta: Any) -> Any:
        normalized = [op.Div(x, mean) for mean in (op.GlobalAveragePool(op.Abs(x)), op.ReduceMean(op.Abs(x), axis))]
        scaled = [op.Mul(form, gamma) for form in normalized]
        return (*(op.Add(form, beta) for form in (*scaled, *normalized)), *scaled, *normalized)

    def check(self, context: CheckContext, block: Block, x: Any, **bound: Any) -> bool:
        mean, sizes = block.node("GlobalAveragePool", "ReduceMean"), graph.dims(x) or ()
        if mean is None or not _channels(x) or graph.dims(mean.outputs[0]) != (*sizes[:-1], 1):
            return context.fail("its mean is not along the last axis")
        for name in ("gamma", "beta"):
            if name in bound and not _is_vector(bound[name], _channels(x)):
                return context.fail(f"its {name} is not constant, or not one number for each channel")
        return only_simulated(context, x)

    def lower(self, block: Block, context: Lowering) -> Layer:
        channels, dtype = _channels(block.bindings["x"]), context.weight_spec(block).dtype
        gamma, beta = (
            np.broadcast_to(block.constant(name).reshape(-1) if name in block.bindings else default, (channels,))
            for name, default in (("gamma", np.ones(1)), ("beta", np.zeros(1)))
        )
        own, room = fitting(gamma * channels, dtype), buffer_bits(block, context) - SCALE_BITS - dtype.bits
        frac = own + max(room, 0)
        beta_frac = min(fitting(beta, dtype), frac)
        constants = {
            "gamma": FixedPoint.quantize(gamma * channels, own, dtype).values << (frac - own),
            "beta": FixedPoint.quantize(beta, beta_frac, dtype).values << (frac - beta_frac),
        }
        attributes = self.ending(block, context, frac)
        return Layer("layer_mad_normalization", block.inputs, block.outputs, constants, attributes)


def _is_vector(value: ir.Value, channels: int) -> bool:
    """Whether a value is a constant with one number, or one for each of the channels along the last axis."""
    array = graph.constant(value)
    return array is not None and array.size in {1, channels} and array.size == (array.shape or (1,))[-1]


PATTERNS = (Attention, Shiftmax, LayerMadNormalization)
