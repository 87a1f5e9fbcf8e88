"""Akida 2: which layers it has, and how a float block becomes 8-bit weights, mantissas and shifts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.numerics import IntType, QuantSpec, Rounding
from quaint.target import ANY, Target
from quaint_akida import (
    akida2_kernels,
    common,
    exporter,
    lut2,
    q_config,
    rewrites2,
    tokens,
    transformer,
    transformer_kernels,
)
from quaint_akida.entrance import INT8, ChannelsLast, ChannelsLastOutput, entering_spec, is_input, takes_image
from quaint_akida.joins2 import Add, Concatenate
from quaint_akida.limits2 import (
    check_conv,
    check_dense,
    check_input_conv,
    check_map,
    check_transpose,
    check_widths,
)
from quaint_akida.rescaling import Rescaling
from quaint_akida.scaling2 import Scaled
from quaint_akida.streams2 import BufferTempConv, FrameConv

if TYPE_CHECKING:
    from quaint.lower import Lowering
    from quaint.patterns import Block, Builder, CheckContext


class Conv2D(Scaled):
    """InputConv2D, Conv2D and DepthwiseConv2D with an activation, max pooling or a global average."""

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any, slope: Any) -> Any:
        conv = op.Conv(x, weight, bias)
        tables, pools = lut2.drawings(op, conv, slope), op.one_of("GlobalAveragePool", "MaxPool")
        simple = (op.Relu(conv), op.Clip(conv, low, high))
        longest = [pools(form) for form in (*simple, conv)] + [op.GlobalAveragePool(table) for table in tables]
        return (*longest, op.Flatten(conv), *simple, *tables, conv)

    def check(self, context: CheckContext, block: Block, x: Any, weight: Any, **_: Any) -> bool:
        if common.weights_of(context, weight) is None or not lut2.check(context, block):
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
        added, more = self.image_input(block, context, weight.shape[1])
        return Layer("conv2d", block.inputs, block.outputs, constants | added, attributes | more)


class Identity(Scaled):
    """An activation, max pooling or a global average without a convolution before it (after an Add): an identity one does it."""

    def pattern(self, op: Builder, x: Any, low: Any, high: Any, slope: Any) -> Any:
        simple, tables = (op.Relu(x), op.Clip(x, low, high)), lut2.drawings(op, x, slope)
        pools = op.one_of("GlobalAveragePool", "MaxPool")
        averaged = [op.GlobalAveragePool(table) for table in tables]
        return (*map(pools, simple), *averaged, *simple, *tables, pools(x))

    def check(self, context: CheckContext, block: Block, x: Any, **_: Any) -> bool:
        if is_input(x, context.config):
            return context.fail("cannot be the first layer: it needs a convolution before it")
        acts = block.node("Relu", "Clip") is not None or lut2.activation(block) is not None
        if acts and graph.producer(x, "Conv", "ConvTranspose") is not None and len(x.uses()) == 1:
            return context.fail("its activation belongs to the convolution before it")
        return lut2.check(context, block) and check_map(context, block, x)

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

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any, slope: Any) -> Any:
        conv = op.ConvTranspose(x, weight, bias)
        return op.Relu(conv), op.Clip(conv, low, high), *lut2.drawings(op, conv, slope), conv

    def check(self, context: CheckContext, block: Block, x: Any, weight: Any, **_: Any) -> bool:
        if is_input(x, context.config):
            return context.fail("cannot be the first layer: it needs a convolution before it")
        weights = common.weights_of(context, weight)
        return weights is not None and check_transpose(context, block) and lut2.check(context, block)

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


AKIDA2 = Target(
    name="akida2",
    summary="Akida 2: 8-bit weights and activations, scales for each channel",
    domain="quaint.akida",
    patterns=(
        *transformer.PATTERNS,
        *tokens.PATTERNS,
        *(FrameConv, BufferTempConv, Conv2D, Conv2DTranspose, Dense1D, Add, Concatenate),
        *(Identity, Rescaling, ChannelsLast, ChannelsLastOutput),
    ),
    activation=QuantSpec(INT8, axis=1, observer="percentile"),
    weight=QuantSpec(INT8, axis=0, narrow=True),
    rounding=Rounding.HALF_UP,
    input=QuantSpec(IntType(8, signed=False), axis=1, symmetric=False),
    input_rounding=Rounding.HALF_AWAY,
    kernels=akida2_kernels.KERNELS | transformer_kernels.KERNELS,
    weight_bits=(4, 8),
    activation_bits=(4, 8),
    output_bits=(8,),
    last_output_bits=(8,),
    buffer_bits=(28, 32),
    signs=True,
    simulated={
        "weight_bits": range(2, 17),
        "activation_bits": range(1, 17),
        "output_bits": range(2, 17),
        "last_output_bits": range(2, 17),
        "buffer_bits": range(16, 33),
    },
    input_dtypes=("uint8", "int8"),
    host=frozenset({"Softmax", "LogSoftmax", ANY}),
    exporter="akida",
    defaults={"quantizer": "bias-correction", "input_weight_bits": 8},
    options={"fbz": exporter.OPTION},
    config_formats={"q_config": q_config.FORMAT},
    check=check_widths,
    rewrites=rewrites2.REWRITES,
)
