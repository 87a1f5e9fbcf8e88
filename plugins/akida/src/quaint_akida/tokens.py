"""Layers of transformers beside attention and normalization: learned tokens, dense layers and sums of tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers.movement import Move
from quaint.layers.sharing import Passive
from quaint_akida import common, lut2
from quaint_akida.entrance import is_input, is_series
from quaint_akida.scaling2 import Scaled
from quaint_akida.transformer import Tokens, entering_tokens, frac_bits, only_simulated, per_tensor

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.numerics import QuantSpec
    from quaint.patterns import Block, Builder, CheckContext


def _learned(value: ir.Value, like: ir.Value) -> NDArray[Any] | None:
    """The constant [tokens, channels] that is added to a tensor of tokens; None where it has another shape."""
    sizes, array = graph.dims(like) or (), graph.constant(value)
    if array is None or len(sizes) != 3 or array.shape not in {sizes[1:], (1, *sizes[1:])}:
        return None
    return np.asarray(array[0] if array.ndim == 3 else array)


class ClassToken(Tokens):
    """A learned token before the others: room for it, then a sum that is zero elsewhere."""

    def pattern(self, op: Builder, x: Any, pads: Any, token: Any) -> Any:
        return op.Add(op.Pad(x, pads), token)

    def check(self, context: CheckContext, block: Block, x: Any, token: Any, **_: Any) -> bool:
        array = _learned(token, block.nodes[-1].outputs[0])
        if array is None:
            return context.fail("it does not add a constant to [batch, tokens, channels]")
        mode, pads = graph.attribute(block.nodes[0], "mode", "constant"), graph.constant(block.bindings["pads"])
        if mode != "constant" or pads is None or pads.tolist() != [0, 1, 0, 0, 0, 0]:
            return context.fail("only one token goes before the others, none elsewhere")
        if array[1:].any():
            return context.fail("it adds to other tokens than the one before: write that as another Add")
        return only_simulated(context, x)

    def lower(self, block: Block, context: Lowering) -> Layer:
        token = block.constant("token")
        whole, shift, frac = self.learned(block, context, token.reshape(-1, token.shape[-1])[0])
        attributes = {"input_shift": shift} | self.ending(block, context, frac)
        return Layer("class_token", block.inputs, block.outputs, {"token": whole}, attributes)


class AddPositionEmbs(Tokens):
    """A learned sum [tokens, channels]."""

    def pattern(self, op: Builder, x: Any, embeddings: Any) -> Any:
        return op.Add(x, embeddings)

    def check(self, context: CheckContext, block: Block, x: Any, embeddings: Any, **_: Any) -> bool:
        if _learned(embeddings, x) is None:
            return False
        return only_simulated(context, x)

    def lower(self, block: Block, context: Lowering) -> Layer:
        embeddings = block.constant("embeddings")
        whole, shift, frac = self.learned(block, context, embeddings.reshape(1, *embeddings.shape[-2:]))
        attributes = {"input_shift": shift} | self.ending(block, context, frac)
        return Layer("add_position_embs", block.inputs, block.outputs, {"embeddings": whole}, attributes)


class ExtractToken(Passive):
    """One of the tokens."""

    def pattern(self, op: Builder, x: Any, token: Any) -> Any:
        return op.Gather(x, token)

    def check(self, context: CheckContext, block: Block, x: Any, token: Any, **_: Any) -> bool:
        index = graph.constant(token)
        if (
            index is None
            or index.size != 1
            or graph.rank(x) != 3
            or graph.attribute(block.nodes[0], "axis", 0) not in {1, -2}
        ):
            return context.fail("only one token of [batch, tokens, channels] is taken")
        return only_simulated(context, x)

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
        return replace(spec, axis=None)

    def lower(self, block: Block, context: Lowering) -> Layer:
        index = graph.constant(block.bindings["token"])
        tokens = int(context.shape(block.inputs[0])[1] or 0)
        token = int(index.reshape(())) % tokens if index is not None else 0
        attributes = {"token": token, "squeeze": len(context.shape(block.outputs[0])) == 2}
        return Layer("extract_token", block.inputs, block.outputs, {}, attributes)


class TokenMove(Move):
    """Reshape and Transpose between maps and tokens."""

    def check(self, context: CheckContext, block: Block, **bound: Any) -> bool:
        ranks = graph.rank(bound["x"]), graph.rank(block.nodes[0].outputs[0])
        series = block.nodes[0].op_type == "Transpose" and is_series(block.nodes[0])
        if 3 not in ranks or series or (ranks[1] == 4 and is_input(bound["x"], context.config)):
            return False  # a map that enters is ``ChannelsLast``'s, and so is a series
        return super().check(context, block, **bound) and only_simulated(context, bound["x"])


class TokenDense(Scaled):
    """A dense layer on every token, with an activation; scale-out as in Dense1D."""

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any, slope: Any) -> Any:
        product = op.MatMul(x, weight)
        forms = (op.Add(product, bias), product)
        return tuple(
            form
            for dense in forms
            for form in (op.Relu(dense), op.Clip(dense, low, high), *lut2.drawings(op, dense, slope), dense)
        )

    def check(self, context: CheckContext, block: Block, x: Any, weight: Any, **bound: Any) -> bool:
        weights, bias = graph.constant(weight), graph.constant(bound["bias"]) if "bias" in bound else np.zeros(0)
        if weights is None or weights.ndim != 2 or graph.rank(x) != 3:
            return False
        if bias is None or bias.shape not in {(0,), weights.shape[1:]}:
            return context.fail("its bias is not one number for each unit")
        return lut2.check(context, block) and only_simulated(context, x)

    def is_last(self, block: Block, context: CheckContext) -> bool:
        """Its output is always quantized."""
        return False

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        wished = super().output_spec(spec, block, context)
        return None if wished is None else per_tensor(wished)

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
        return entering_tokens(spec, block, index, context)

    def lower(self, block: Block, context: Lowering) -> Layer:
        source = context.params[block.inputs[0]]
        folded = common.fold_input_scale(block.constant("weight").T, source, axis=1)
        constants, attributes = self.products(block, context, folded, source, axis=1)
        constants["weight"] = np.ascontiguousarray(constants["weight"].T)
        return Layer("token_dense", block.inputs, block.outputs, constants, attributes)


class TokenAdd(Tokens):
    """The sum of two tensors of tokens."""

    def pattern(self, op: Builder, x: Any, y: Any) -> Any:
        return op.Add(x, y)

    def check(self, context: CheckContext, block: Block, x: Any, y: Any, **_: Any) -> bool:
        if graph.rank(x) != 3 or graph.dims(x) != graph.dims(y):
            return False
        if graph.constant(x) is not None or graph.constant(y) is not None:
            return False
        return only_simulated(context, x, y)

    def lower(self, block: Block, context: Lowering) -> Layer:
        first, second = (frac_bits(context.params[name]) for name in block.inputs)
        frac = max(first, second)
        attributes = self.ending(block, context, frac)
        shifts = {"a_shift": frac - first, "b_shift": frac - second, "output_shift": attributes.pop("output_shift")}
        constants = {name: np.asarray(shift, np.int64) for name, shift in shifts.items()}
        return Layer("token_add", block.inputs, block.outputs, constants, attributes)


PATTERNS = (ClassToken, TokenDense, AddPositionEmbs, TokenAdd, ExtractToken, TokenMove)
