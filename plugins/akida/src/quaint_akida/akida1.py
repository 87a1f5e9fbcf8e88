"""Akida 1 (AKD1000, AKD1500): which layers it has, and how a float block becomes potentials, thresholds and steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.numerics import IntType, QuantSpec, Rounding
from quaint.target import ANY, Target
from quaint_akida import akida1_kernels, common, exporter, q_config, rewrites1
from quaint_akida.entrance import ChannelsLast, is_input
from quaint_akida.limits1 import (
    DENSE_INPUTS,
    alone,
    check_average,
    check_inner,
    check_input,
    check_separable,
    sequential,
)
from quaint_akida.rescaling import Rescaling, border, one_border, zero_point
from quaint_akida.thresholds1 import Spiking, finest, quantize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.patterns import Block, Builder, CheckContext

    Floats = NDArray[np.float64]

NO_INPUT = "cannot be the first layer: it needs a convolution before it"


class Convolutional(Spiking):
    """A convolution with ReLU, max pooling or a global average, at the entrance (8-bit image) or inside."""

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any) -> Any:
        conv = op.Conv(x, weight, bias)
        relu, clip = op.Relu(conv), op.Clip(conv, low, high)
        return op.MaxPool(relu), op.MaxPool(clip), op.Flatten(conv), op.GlobalAveragePool(conv), relu, clip, conv

    def check(self, context: CheckContext, block: Block, x: Any, weight: Any, **_: Any) -> bool:
        node = block.nodes[0]
        window = common.window(context, node)
        if window is None or common.weights_of(context, weight) is None:
            return False
        if window.group != 1:
            return context.fail(alone(window))
        if block.node("Flatten") and (graph.dims(node.outputs[0]) or ())[2:] != (1, 1):
            return context.fail("flattens a map")
        if any(window.pads) and not one_border(x):
            return context.fail("its border would differ between channels: rescale all of them alike")
        fits = check_input if is_input(x, context.config) else check_inner
        return fits(context, window, block) and self.ends_well(context, block)

    def lower(self, block: Block, context: Lowering) -> Layer:
        source, node = context.params[block.inputs[0]], block.nodes[0]
        weight = common.fold_input_scale(block.constant("weight"), source, axis=1)
        zeros = zero_point(context, block.inputs[0], weight.shape[1]).reshape(1, -1, 1, 1)

        def offset(scale: Floats) -> NDArray[np.int64]:
            potentials: Floats = (quantize(context, block, weight, scale) * zeros).sum(axis=(1, 2, 3))
            return np.rint(potentials).astype(np.int64)

        gap = block.node("GlobalAveragePool") is not None
        pixels = common.map_pixels(node.outputs[0]) if gap else 1
        limit, bias = finest(context, block, weight, source), block.constant("bias")
        scale, constants, attributes = self.finish(block, context, limit, bias, pixels=pixels, offset=offset)
        constants["weight"] = quantize(context, block, weight, scale).astype(np.int8)
        common.declare_weight(context, block, scale, source, context.weight_spec(block).dtype, 0)
        padding = int(border(context, block, zeros.reshape(-1)[:1])[0])
        attributes |= {"padding_value": padding, "flatten": block.node("Flatten") is not None}
        return Layer("convolutional", block.inputs, block.outputs, constants, attributes | _geometry(block))


class SeparableConvolutional(Spiking):
    """A depthwise convolution with a pointwise one right after it."""

    def pattern(
        self, op: Builder, x: Any, weight: Any, bias: Any, pointwise: Any, pointwise_bias: Any, low: Any, high: Any
    ) -> Any:
        conv = op.Conv(op.Conv(x, weight, bias), pointwise, pointwise_bias)
        relu, clip = op.Relu(conv), op.Clip(conv, low, high)
        return op.MaxPool(relu), op.MaxPool(clip), op.GlobalAveragePool(conv), relu, clip, conv

    def check(self, context: CheckContext, block: Block, x: Any, **_: Any) -> bool:
        first, second = block.nodes[:2]
        if not common.is_depthwise(first) or graph.constant(second.inputs[1]) is None:
            return context.fail("two convolutions in a row without ReLU between: train with one")
        if is_input(x, context.config):
            return context.fail(NO_INPUT)
        window, point = common.window(context, first), common.window(context, second)
        if window is None or point is None:
            return False
        if (point.kernel, point.stride, point.group) != (1, 1, 1):
            return context.fail("after a depthwise convolution without ReLU: only a pointwise one (1x1, stride 1)")
        wishes = [context.config.for_layer([node.name or ""]) for node in (first, second)]
        if len({given.get("weight_bits", given.get("bits")) for given in wishes}) > 1:
            return context.fail(
                "its two convolutions have weights of the same width: wish the same for both, or for none"
            )
        return check_separable(context, window, block) and self.ends_well(context, block)

    def lower(self, block: Block, context: Lowering) -> Layer:
        """The depthwise half's scales go into the pointwise weights."""
        source, first = context.params[block.inputs[0]], block.nodes[0]
        depthwise = common.fold_input_scale(block.constant("weight"), source, axis=0)
        depth_scale = finest(context, block, depthwise)
        pointwise = block.constant("pointwise")
        bias = block.constant("pointwise_bias") + pointwise[:, :, 0, 0] @ block.constant("bias")
        folded = pointwise * depth_scale.reshape(1, -1, 1, 1)
        pixels = common.map_pixels(first.outputs[0]) if block.node("GlobalAveragePool") is not None else 1
        scale, constants, attributes = self.finish(block, context, finest(context, block, folded), bias, pixels=pixels)
        constants["weight"] = quantize(context, block, depthwise, depth_scale).astype(np.int8)
        constants["pointwise"] = quantize(context, block, folded, scale).astype(np.int8)
        return Layer("separable_convolutional", block.inputs, block.outputs, constants, attributes | _geometry(block))


def _geometry(block: Block) -> dict[str, Any]:
    """Window, pooling and global average as plain data."""
    conv = block.nodes[0]
    found = {name: list(graph.attribute(conv, name)) for name in ("strides", "pads")}
    pool = common.pool_attributes(block.node("MaxPool"), common.padding_of(conv))
    return found | pool | {"gap": block.node("GlobalAveragePool") is not None}


class AveragedDense(Spiking):
    """A global average and a dense layer, or a pointwise convolution, whose potentials are averaged instead."""

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any) -> Any:
        average = op.GlobalAveragePool(x)
        conv = op.Conv(average, weight, bias)
        forms = op.Gemm(op.Flatten(average), weight, bias), op.Flatten(conv), conv
        return tuple(form for dense in forms for form in (op.Relu(dense), op.Clip(dense, low, high), dense))

    def check(self, context: CheckContext, block: Block, x: Any, weight: Any, **_: Any) -> bool:
        if is_input(x, context.config):
            return context.fail(NO_INPUT)
        weights, conv = common.weights_of(context, weight), block.node("Conv")
        if weights is None or (conv and (graph.attribute(conv, "group", 1), *weights.shape[2:]) != (1, 1, 1)):
            return False
        return check_average(context, x) and self.ends_well(context, block)

    def lower(self, block: Block, context: Lowering) -> Layer:
        source = context.params[block.inputs[0]]
        weight = common.fold_input_scale(block.constant("weight"), source, axis=1)
        weight = weight.reshape(*weight.shape[:2], 1, 1)
        limit, pixels = finest(context, block, weight, source), common.pixels(context.shape(block.inputs[0]))
        scale, constants, attributes = self.finish(block, context, limit, block.constant("bias"), pixels=pixels)
        constants["weight"] = quantize(context, block, weight, scale).astype(np.int8)
        common.declare_weight(context, block, scale, source, context.weight_spec(block).dtype, 0)
        flat = block.node("Flatten") is not None
        attributes |= {"strides": [1, 1], "pads": [0, 0, 0, 0], "gap": True, "flatten": flat}
        return Layer("convolutional", block.inputs, block.outputs, constants, attributes)


class FullyConnected(Spiking):
    """A dense layer, with or without a flattened map before it."""

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any) -> Any:
        flat, plain = op.Gemm(op.Flatten(x), weight, bias), op.Gemm(x, weight, bias)
        return tuple(form for dense in (flat, plain) for form in (op.Relu(dense), op.Clip(dense, low, high), dense))

    def check(self, context: CheckContext, block: Block, x: Any, weight: Any, **_: Any) -> bool:
        matrix = common.weights_of(context, weight)
        if matrix is None:
            return False
        if is_input(x, context.config):
            return context.fail(NO_INPUT)
        if matrix.shape[1] > DENSE_INPUTS:
            return context.fail(f"{DENSE_INPUTS} inputs at the most, not {matrix.shape[1]}")
        return self.ends_well(context, block)

    def lower(self, block: Block, context: Lowering) -> Layer:
        source = context.params[block.inputs[0]]
        weight = common.fold_input_scale(block.constant("weight"), source, axis=1)
        limit = finest(context, block, weight, source)
        scale, constants, attributes = self.finish(block, context, limit, block.constant("bias"))
        constants["weight"] = np.ascontiguousarray(quantize(context, block, weight, scale).T).astype(np.int8)
        common.declare_weight(context, block, scale, source, context.weight_spec(block).dtype, 1)
        return Layer("fully_connected", block.inputs, block.outputs, constants, attributes)


AKIDA1 = Target(
    name="akida1",
    summary="Akida 1 (AKD1000, AKD1500): 4-bit weights and activations, thresholds, sequential nets",
    domain="quaint.akida",
    patterns=(AveragedDense, SeparableConvolutional, Convolutional, FullyConnected, Rescaling, ChannelsLast),
    activation=QuantSpec(IntType(4, signed=False), observer="mse"),
    weight=QuantSpec(IntType(4, signed=True), axis=0, narrow=True),
    input=QuantSpec(IntType(8, signed=False), symmetric=False),
    input_rounding=Rounding.HALF_AWAY,
    kernels=akida1_kernels.KERNELS,
    weight_bits=(2, 4, 8),
    activation_bits=(1, 2, 4),
    buffer_bits=(28, 32),  # QuantizeML's: bounds above the chip's own
    input_dtypes=("uint8",),
    host=frozenset({"Softmax", "LogSoftmax", ANY}),
    exporter="akida",
    defaults={"quantizer": "reconstruction", "input_weight_bits": 8},
    options={"fbz": exporter.OPTION},
    config_formats={"q_config": q_config.FORMAT},
    check=sequential,
    rewrites=rewrites1.REWRITES,
)
