"""Sums of products with constant weights, lowered to core's kernels: what ``quaint.layers.patterns`` has of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers.output import clamp_of, requantization
from quaint.patterns import Builder, Pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.patterns import Block, CheckContext

WINDOW = ("strides", "pads", "dilations")


def attributes(block: Block, op_type: str, names: Sequence[str]) -> dict[str, Any]:
    """Attributes of the block's node of an operator, as plain data."""
    node = next(node for node in block.nodes if node.op_type == op_type)
    found = {name: graph.attribute(node, name) for name in names}
    return {name: list(value) if isinstance(value, tuple | list) else value for name, value in found.items()}


class Computing(Pattern):
    """A sum of products with weights, a bias and perhaps a clamp: what Conv, ConvTranspose and Gemm share."""

    op_type: ClassVar[str]
    kernel: ClassVar[str]
    channel_axis: ClassVar[int] = 0
    activations: ClassVar[tuple[str, ...]] = ("Relu", "Clip")

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any) -> Any:
        product = getattr(op, self.op_type)(x, weight, bias)
        forms = {"Relu": op.Relu(product), "Clip": op.Clip(product, low, high)}
        return (*(forms[name] for name in self.activations), product)

    def check(self, context: CheckContext, *_: Any, **bindings: Any) -> bool:
        if any(graph.constant(bindings[name]) is None for name in ("weight", "bias")):
            return context.fail("its weights are not constant")
        return True

    def geometry(self, block: Block) -> dict[str, Any]:
        """Attributes of the kernel besides its output stage."""
        return {}

    def weights(self, block: Block) -> NDArray[np.float64]:
        """The float weights, output channels along ``channel_axis``."""
        return block.constant("weight")

    def arrange(self, weight: Any) -> Any:
        """Weights from ONNX's order to the kernel's."""
        return weight

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        source, out = context.edges(block)
        bias = block.constant("bias")
        least = context.finest_weight_scale(block, bias)
        weight, params = context.quantize_weight(block, self.weights(block), self.channel_axis, least)
        acc_scale = params.scale * source.scale
        constants = {"weight": self.arrange(weight).astype(params.dtype.storage)}
        constants["bias"] = context.quantize_bias(block, bias, acc_scale)
        stage, attrs = requantization(context.target, acc_scale, out, clamp_of(block))
        attrs |= self.geometry(block) | {"input_zero_point": int(source.zero_point)}
        return Layer(self.kernel, block.inputs, block.outputs, constants | stage, attrs)


class Conv(Computing):
    """Convolution of any rank, grouped or not, with ReLU or Clip."""

    op_type, kernel = "Conv", "conv"

    def geometry(self, block: Block) -> dict[str, Any]:
        return attributes(block, "Conv", (*WINDOW, "group"))


class ConvTranspose(Computing):
    """Transposed convolution with ReLU or Clip."""

    op_type, kernel, channel_axis = "ConvTranspose", "conv_transpose", 1

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        if not super().check(context, **bindings):
            return False
        if graph.attribute(block.nodes[0], "group", 1) != 1 and context.target.weight.axis is not None:
            return context.fail("grouped transposed convolution with a scale for each channel")
        return True

    def geometry(self, block: Block) -> dict[str, Any]:
        found = attributes(block, "ConvTranspose", (*WINDOW, "group", "output_padding"))
        return found | {"output_padding": found["output_padding"] or [0] * len(found["strides"])}


class Gemm(Computing):
    """Dense layer with ReLU or Clip; canonical Gemm has weight [out, in]."""

    op_type, kernel = "Gemm", "gemm"

    def arrange(self, weight: Any) -> Any:
        return np.ascontiguousarray(weight.T)


class MatMul(Pattern):
    """Product with a constant matrix over the last axis of a tensor of any rank, with or without a bias."""

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any) -> Any:
        product = op.MatMul(x, weight)
        return op.Add(product, bias), product

    def check(self, context: CheckContext, weight: Any, bias: Any = None, **_: Any) -> bool:
        matrix = graph.constant(weight)
        if matrix is None and bias is not None:
            return False  # the product by itself may do
        if matrix is None or matrix.ndim != 2:
            return context.fail("only products with a constant matrix")
        vector = graph.constant(bias)
        if bias is not None and (vector is None or vector.size not in {1, matrix.shape[1]}):
            return context.fail("its bias is not a constant vector")
        return True

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        source, out = context.edges(block)
        width = block.constant("weight").shape[1]
        bias = block.constant("bias").reshape(-1) if "bias" in block.bindings else np.zeros(1)
        bias = np.broadcast_to(bias, width)
        least = context.finest_weight_scale(block, bias)
        weight, params = context.quantize_weight(block, block.constant("weight"), 1, least)
        acc_scale = params.scale * source.scale
        constants = {"weight": weight.astype(params.dtype.storage)}
        constants["bias"] = context.quantize_bias(block, bias, acc_scale)
        stage, attrs = requantization(context.target, acc_scale, out)
        attrs |= {"input_zero_point": int(source.zero_point)}
        return Layer("gemm", block.inputs, block.outputs, constants | stage, attrs)
