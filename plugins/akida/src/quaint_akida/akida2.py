"""Akida 2: which layers it has, and how a float block becomes 8-bit weights, mantissas and shifts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.numerics import IntType, QuantParams, QuantSpec, Rounding, ScaleKind
from quaint.patterns import Builder, Pattern
from quaint.target import ANY, Target
from quaint_akida import akida2_kernels, common
from quaint_akida.entrance import INT8, ChannelsLast, entering_spec, is_input, takes_image
from quaint_akida.limits2 import (
    SHIFT_ABOVE,
    SHIFT_BELOW,
    SHIFT_DIFFERENCE,
    check_conv,
    check_dense,
    check_input_conv,
    check_map,
    check_readers,
    check_transpose,
    check_widths,
)
from quaint_akida.scaling2 import Scaled

if TYPE_CHECKING:
    from quaint.lower import Lowering
    from quaint.patterns import Block, CheckContext


class Conv2D(Scaled):
    """InputConv2D, Conv2D and DepthwiseConv2D with ReLU, max pooling or a global average."""

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any) -> Any:
        conv = op.Conv(x, weight, bias)
        relu, clip, pools = op.Relu(conv), op.Clip(conv, low, high), ("GlobalAveragePool", "MaxPool")
        longest = [op.one_of(*pools)(form) for form in (relu, clip, conv)]
        return (*longest, op.Flatten(conv), relu, clip, conv)

    def check(self, context: CheckContext, block: Block, x: Any, weight: Any, **_: Any) -> bool:
        if common.weights_of(context, weight) is None or not common.clamps_at_zero(context, block):
            return False
        return (check_input_conv if takes_image(x, context.config) else check_conv)(context, block)

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
        x = block.bindings["x"]
        return entering_spec(spec, x, context.config) if is_input(x, context.config) else spec

    def lower(self, block: Block, context: Lowering) -> Layer:
        source, node = context.params[block.inputs[0]], block.nodes[0]
        depthwise, weight = common.is_depthwise(node), block.constant("weight")
        folded = common.fold_input_scale(weight, source, axis=0 if depthwise else 1)
        gap = block.node("GlobalAveragePool") is not None
        pixels = common.pixels(context.shape(node.outputs[0].name or "")) if gap else 1
        constants, attributes = self.products(block, context, folded, source, pixels=pixels)
        attributes |= {"strides": list(graph.attribute(node, "strides")), "pads": list(graph.attribute(node, "pads"))}
        attributes |= {
            "group": len(weight) if depthwise else 1,
            "gap": gap,
            "flatten": block.node("Flatten") is not None,
        }
        attributes |= common.pool_attributes(block.node("MaxPool"), common.padding_of(node))
        if takes_image(block.bindings["x"], context.config):
            constants["padding_value"] = common.zero_point(source, weight.shape[1]).astype(np.uint8)
            attributes["buffer_bits"] = 32
        return Layer("conv2d", block.inputs, block.outputs, constants, attributes)


class Identity(Scaled):
    """ReLU, max pooling or a global average that no convolution comes before (after an Add): an identity one does it."""

    def pattern(self, op: Builder, x: Any, low: Any, high: Any) -> Any:
        relu, clip = op.Relu(x), op.Clip(x, low, high)
        pools = op.one_of("GlobalAveragePool", "MaxPool")
        return pools(relu), pools(clip), relu, clip, pools(x)

    def check(self, context: CheckContext, block: Block, x: Any, **_: Any) -> bool:
        if is_input(x, context.config):
            return context.fail("cannot be the first layer: it needs a convolution before it")
        if block.node("Relu", "Clip") is not None and graph.producer(x, "Conv", "ConvTranspose") is not None:
            return context.fail("its ReLU belongs to the convolution before it")
        return common.clamps_at_zero(context, block) and check_map(context, block, x)

    def lower(self, block: Block, context: Lowering) -> Layer:
        source, shape = context.params[block.inputs[0]], context.shape(block.inputs[0])
        gap = block.node("GlobalAveragePool") is not None
        identity = common.fold_input_scale(np.eye(int(shape[1] or 0))[:, :, None, None], source, axis=1)
        pixels = common.pixels(shape) if gap else 1
        constants, attributes = self.products(block, context, identity, source, pixels=pixels)
        attributes |= {"strides": [1, 1], "pads": [0] * 4, "group": 1, "gap": gap}
        attributes |= common.pool_attributes(block.node("MaxPool"), "same")
        return Layer("conv2d", block.inputs, block.outputs, constants, attributes)


class Conv2DTranspose(Scaled):
    """Transposed convolution, plain or depthwise: kernel 3 or 4, stride 2, the output twice the size of the input."""

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any) -> Any:
        conv = op.ConvTranspose(x, weight, bias)
        return op.Relu(conv), op.Clip(conv, low, high), conv

    def check(self, context: CheckContext, block: Block, x: Any, weight: Any, **_: Any) -> bool:
        if is_input(x, context.config):
            return context.fail("cannot be the first layer: it needs a convolution before it")
        weights = common.weights_of(context, weight)
        return weights is not None and check_transpose(context, block) and common.clamps_at_zero(context, block)

    def lower(self, block: Block, context: Lowering) -> Layer:
        source, node = context.params[block.inputs[0]], block.nodes[0]
        group = int(graph.attribute(node, "group", 1))
        folded = common.fold_input_scale(block.constant("weight"), source, axis=0)
        filters_first = folded if group > 1 else folded.swapaxes(0, 1)
        constants, attributes = self.products(block, context, filters_first, source, axis=int(group == 1))
        if group == 1:
            constants["weight"] = np.ascontiguousarray(constants["weight"].swapaxes(0, 1))
        attributes |= {"pads": list(graph.attribute(node, "pads")), "group": group}
        return Layer("conv2d_transpose", block.inputs, block.outputs, constants, attributes)


class Dense1D(Scaled):
    """A dense layer, with or without a flattened map before it."""

    accumulator_bits = 32

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any) -> Any:
        flat, plain = op.Gemm(op.Flatten(x), weight, bias), op.Gemm(x, weight, bias)
        return tuple(form for dense in (flat, plain) for form in (op.Relu(dense), op.Clip(dense, low, high), dense))

    def check(self, context: CheckContext, block: Block, x: Any, weight: Any, **_: Any) -> bool:
        if common.weights_of(context, weight) is None or not common.clamps_at_zero(context, block):
            return False
        return check_dense(context, block, x)

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
        x = block.bindings["x"]
        if is_input(x, context.config):
            return replace(entering_spec(spec, x, context.config), axis=None)
        return replace(spec, axis=None) if graph.rank(x) == 2 else spec

    def lower(self, block: Block, context: Lowering) -> Layer:
        source = context.params[block.inputs[0]]
        folded = common.fold_input_scale(block.constant("weight"), source, axis=1)
        constants, attributes = self.products(block, context, folded, source, axis=1)
        constants["weight"] = np.ascontiguousarray(constants["weight"].T)
        return Layer("dense1d", block.inputs, block.outputs, constants, attributes)


class Add(Pattern):
    """Sum of two maps of 8 bits whose scales are powers of two."""

    def pattern(self, op: Builder, x: Any, y: Any) -> Any:
        return op.Add(x, y)

    def check(self, context: CheckContext, block: Block, x: Any, y: Any, **_: Any) -> bool:
        if any(graph.constant(value) is not None or is_input(value, context.config) for value in (x, y)):
            return context.fail("adds a constant or the model's input")
        if graph.dims(x) != graph.dims(y) or graph.rank(x) != 4:
            return context.fail("adds only feature maps of one shape")
        return check_readers(context, block)

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
        return replace(spec, dtype=INT8, scale=ScaleKind.FIXED_POINT)

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        return replace(spec, dtype=INT8, scale=ScaleKind.FIXED_POINT)

    def lower(self, block: Block, context: Lowering) -> Layer:
        """Both inputs shifted to the finer scale, the sum shifted back; the output is refined where shifts do not reach."""
        a, b, out = context.edges(block)
        channels = int(context.shape(block.outputs[0])[1] or 0)
        first, second, last = (np.broadcast_to(params.exponents, (channels,)) for params in (a, b, out))
        finer = np.maximum(np.minimum(first, second), np.maximum(first, second) - SHIFT_DIFFERENCE)
        shifts = {"a_shift": np.maximum(first - finer, 0), "b_shift": np.maximum(second - finer, 0)}
        largest = np.maximum(shifts["a_shift"], shifts["b_shift"])
        output_shift = np.clip(last - finer, largest + SHIFT_BELOW, largest + SHIFT_ABOVE)
        if (finer + output_shift != last).any():
            context.refine(block.outputs[0], QuantParams(np.exp2(finer + output_shift), out.dtype, axis=1))
        constants = {name: shift.astype(np.uint8) for name, shift in shifts.items()}
        constants["output_shift"] = output_shift.astype(np.int8)
        return Layer("shifted_add", block.inputs, block.outputs, constants, {"output_bits": out.dtype.bits})


class Concatenate(Pattern):
    """Two maps of 8 bits joined along their channels; every channel keeps its scale."""

    def pattern(self, op: Builder, *xs: Any) -> Any:
        return op.Concat(*xs)

    def check(self, context: CheckContext, block: Block, xs: Any, **_: Any) -> bool:
        if len(xs) != 2:
            return context.fail(f"joins {len(xs)} tensors, the chip only two at a time: split it")
        if any(graph.constant(value) is not None or is_input(value, context.config) for value in xs):
            return context.fail("joins a constant or the model's input")
        if graph.rank(xs[0]) != 4 or graph.attribute(block.nodes[0], "axis") not in {1, -3}:
            return context.fail("joins along another axis than the channels")
        return check_readers(context, block)

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
        return replace(spec, dtype=INT8)

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        return None

    def lower(self, block: Block, context: Lowering) -> Layer:
        sources = [context.params[name] for name in block.inputs]
        channels = [int(context.shape(name)[1] or 0) for name in block.inputs]
        scales = [np.broadcast_to(params.scale, (count,)) for params, count in zip(sources, channels, strict=True)]
        context.refine(block.outputs[0], QuantParams(np.concatenate(scales), INT8, axis=1))
        return Layer("concatenate", block.inputs, block.outputs)


AKIDA2 = Target(
    name="akida2",
    summary="Akida 2: 8-bit weights and activations, scales for each channel",
    domain="quaint.akida",
    patterns=(Conv2D, Conv2DTranspose, Dense1D, Add, Concatenate, Identity, ChannelsLast),
    activation=QuantSpec(INT8, axis=1, observer="percentile"),
    weight=QuantSpec(INT8, axis=0, narrow=True),
    rounding=Rounding.HALF_UP,
    input=QuantSpec(IntType(8, signed=False), axis=1, symmetric=False),
    input_rounding=Rounding.HALF_AWAY,
    kernels=akida2_kernels.KERNELS,
    weight_bits=(4, 8),
    activation_bits=(4, 8),
    input_dtypes=("uint8", "int8"),
    host=frozenset({"Softmax", "LogSoftmax", ANY}),
    defaults={"input_weight_bits": 8},
    check=check_widths,
)
