"""What ESP-DL runs: core's layers with the runtime's restrictions and its arithmetic of averages and products.

All tensors of a layer have one width; where a neighbour's differs, a ``requantize`` stands between them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers import patterns as core
from quaint.layers import products
from quaint.layers.kernels import window_counts
from quaint.layers.output import requantization
from quaint.numerics import IntType, QuantParams
from quaint.patterns import Pattern
from quaint.scales import from_range
from quaint.specs import activation_spec
from quaint_espdl.limits import shifted_right, warn_of_saturation

if TYPE_CHECKING:
    from quaint.lower import Lowering
    from quaint.numerics import QuantSpec
    from quaint.patterns import Block, CheckContext

TABLE = IntType(8, signed=True)


class Observed(Pattern):
    """Ranges of 16-bit tensors are their extremes, whatever observer suits 8 bits."""

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        return super().output_spec(_observed(spec, context), block, context)

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
        """A model input is quantized in the width of the layer that reads it, unless the user says otherwise."""
        wide = activation_spec(context.target, context.config, block).dtype
        values = (value for node in block.nodes for value in node.inputs if value is not None)
        entering = any(value.is_graph_input() for value in values if value.name == block.inputs[index])
        if entering and context.config.input_dtype is None and wide.bits > spec.dtype.bits:
            spec = _observed(replace(spec, dtype=wide), context)
        return super().input_spec(spec, block, index, context)


def _observed(spec: QuantSpec, context: CheckContext) -> QuantSpec:
    """16 bits resolve the whole range, and histograms do not resolve 16 bits."""
    if spec.dtype.bits > 8 and spec.observer == context.target.activation.observer:
        return replace(spec, observer="minmax", round_exponent="up")
    return spec


class OneWidth(Observed):
    """Brings inputs of another width to the width of the layer's output before the layer is lowered."""

    def lower(self, block: Block, context: Lowering) -> list[Layer]:
        bits = context.params[block.outputs[0]].dtype.bits
        before: list[Layer] = []
        names = list(block.inputs)
        for index, name in enumerate(names):
            source = context.params[name]
            if source.dtype.bits == bits:
                continue
            wanted = self._converted(block, name, source, context)
            names[index] = f"{block.outputs[0]}_{name}_int{bits}"
            context.define(names[index], name, wanted)
            stage, attributes = requantization(context.target, source.scale, wanted)
            converter = f"{block.name}_int{bits}_{index}"
            before.append(Layer("requantize", (name,), (names[index],), stage, attributes, converter, (block.name,)))
        lowered = super().lower(replace(block, inputs=tuple(names)), context)
        return [*before, *((lowered,) if isinstance(lowered, Layer) else lowered)]

    def _converted(self, block: Block, name: str, source: QuantParams, context: Lowering) -> QuantParams:
        """The tensor at the layer's width: every bit kept on the way up, the observed range on the way down."""
        dtype = context.params[block.outputs[0]].dtype
        if dtype.bits > source.dtype.bits:
            return QuantParams(source.scale * 2.0 ** (source.dtype.bits - dtype.bits), dtype)
        spec = replace(activation_spec(context.target, context.config, block), dtype=dtype)
        return from_range(spec, context.ranges[name])


class Accumulating(OneWidth):
    """A sum of products, within the limits of the chip's accumulator."""

    def lower(self, block: Block, context: Lowering) -> list[Layer]:
        *before, layer = super().lower(block, context)
        warn_of_saturation(layer, block, context)
        return [*before, *shifted_right(layer, block, context)]


class Conv(Accumulating, products.Conv):
    """One- or two-dimensional, plain or depthwise; ReLU is part of it, any other clip a table after it."""

    activations = ("Relu",)

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        group = graph.attribute(block.nodes[0], "group", 1)
        weight = graph.constant(bindings["weight"])
        if weight is not None and group != 1 and weight.shape[:2] != (group, 1):
            return context.fail(f"convolution in {group} groups: only 1 group, or one for each channel (depthwise)")
        return super().check(context, block=block, **bindings)


class ConvTranspose(Accumulating, products.ConvTranspose):
    """In the file zeros inserted between the pixels, then a convolution."""

    activations = ("Relu",)

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        node, weight = block.nodes[0], graph.constant(bindings["weight"])
        if graph.attribute(node, "group", 1) != 1:
            return context.fail("grouped transposed convolution")
        if weight is not None:
            wish = products.attributes(block, "ConvTranspose", ("dilations", "pads"))
            reach = [step * (n - 1) for n, step in zip(weight.shape[2:], wish["dilations"], strict=True)]
            if any(pad > n for pad, n in zip(wish["pads"], (*reach, *reach), strict=True)):
                return context.fail("transposed convolution that crops more than its kernel reaches")
        return super().check(context, block=block, **bindings)


class Gemm(Accumulating, products.Gemm):
    """Dense layer; ReLU is part of it."""

    activations = ("Relu",)


class MatMul(Accumulating, products.MatMul):
    """Product with a constant matrix: the runtime's Gemm takes a tensor of any rank."""


class Averages(core.Averaging):
    """Averages go through float32: the sum times ``2**e_in * (1 / area) * 2**-e_out``, each factor rounded to float32."""

    def average(
        self, context: Lowering, source: QuantParams, area: Any, out: QuantParams
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        _, attributes = requantization(context.target, np.asarray(source.scale), out)
        inverse = np.float32(1) / np.asarray(area, np.float32)
        multiplier = np.float32(source.scale) * inverse * np.float32(1 / out.scale)
        return {"multiplier": np.asarray(multiplier, np.float32)}, attributes


class AveragePool(OneWidth, Averages, core.AveragePool):
    """One- or two-dimensional average pooling; the runtime divides every window by the kernel's whole area."""

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        node = block.nodes[0]
        if any(step != 1 for step in graph.attribute(node, "dilations", ())):
            return context.fail("average pooling with dilation")
        size = [n for n in (graph.dims(node.inputs[0]) or ())[2:] if isinstance(n, int)]
        wish = products.attributes(
            block, "AveragePool", ("kernel_shape", "strides", "pads", "ceil_mode", "count_include_pad")
        )
        if not wish["count_include_pad"]:
            ceil = bool(wish["ceil_mode"])
            counts = window_counts(size, wish["kernel_shape"], wish["strides"], wish["pads"], ceil_mode=ceil)
            if (counts != np.prod(wish["kernel_shape"])).any():
                return context.fail("averages without the border: the runtime counts it (count_include_pad = 1)")
        return super().check(context, block=block, **bindings)


class GlobalAveragePool(OneWidth, Averages, core.GlobalAveragePool):
    """Average over the whole map."""


class Add(Observed, core.Add):
    """Sum of tensors of one exponent; in the file ReLU or Clip is a node of its own, so it is not drawn here."""

    def pattern(self, op: Any, x: Any, y: Any) -> Any:  # type: ignore[override]
        return op.Add(x, y)


class Concat(Observed, core.Concat):
    """Tensors of one exponent, joined."""


class Mul(OneWidth, core.Mul):
    """Product of two tensors; the runtime scales it in float32, which at 16 bits rounds before the chip does."""

    def lower(self, block: Block, context: Lowering) -> list[Layer]:
        *before, layer = super().lower(block, context)
        factor = np.exp2(-layer.constants["shift"]).astype(np.float32)
        return [*before, replace(layer, constants={"multiplier": factor})]


class Table(OneWidth, core.Table):
    """An elementwise function as a table of 256 entries, also where its neighbours have 16 bits."""

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        return super().output_spec(replace(spec, dtype=TABLE), block, context)

    def lower(self, block: Block, context: Lowering) -> list[Layer]:
        wish = activation_spec(context.target, context.config, block).dtype
        if wish != TABLE:
            context.warnings.append(f"layer {block.name!r}: as a table it has 8 bits, not {wish.bits}")
        return super().lower(block, context)


class MaxPool(Observed, core.MaxPool):
    """Max pooling without dilation."""

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        if any(step != 1 for step in graph.attribute(block.nodes[0], "dilations", ())):
            return context.fail("max pooling with dilation")
        return super().check(context, block=block, **bindings)


class Activation(Observed, core.Activation):
    """ReLU, or Clip as a table, on the input's exponent."""


class Move(Observed, core.Move):
    """Reshape, Flatten, Transpose."""


PATTERNS: tuple[type[Pattern], ...] = (
    Conv, ConvTranspose, Gemm, MatMul, Add, Concat, MaxPool, AveragePool, GlobalAveragePool, Table, Mul, Activation, Move,
)  # fmt: skip
