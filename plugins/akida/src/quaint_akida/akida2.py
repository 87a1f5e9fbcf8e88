"""Akida 2: which layers it has, and how a float block becomes 8-bit weights, mantissas and shifts.

Weights take the scales of their input channels in, so every channel of every tensor may have a scale of its own. Scaling
out is ``round(v * M * 2**-S)`` with a mantissa M of up to 8 bits. The weights' scale is chosen a little coarser than it need
be (less than 1 %) so that ``M * 2**-S`` is exact: the next layer's input has exactly the scale that it counts on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers.output import clamp_of
from quaint.numerics import IntType, QuantParams, QuantSpec, Rounding, ScaleKind
from quaint.patterns import Builder, Pattern
from quaint.target import ANY, Target
from quaint_akida import akida2_kernels, common
from quaint_akida.common import is_input
from quaint_akida.limits2 import check_conv, check_input_conv, check_readers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.patterns import Block, CheckContext

    Floats = NDArray[np.float64]

INT8, UINT8, INT32 = IntType(8, signed=True), IntType(8, signed=False), IntType(32, signed=True)
#: Field widths: shifts of the output and of biases (hardware pages of Akida 2).
SHIFT_LOW, SHIFT_HIGH = -32, 31
IMAGE = "image"


def encode(value: Floats, bits: int, *, signed: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whole numbers as mantissas of ``bits`` bits and left shifts: ``value ~ mantissa << shift``."""
    room = bits - signed
    magnitude = np.maximum(np.abs(value), 1.0)
    shift = np.maximum(np.ceil(np.log2(magnitude + 2.0**-8)).astype(np.int64) - room, 0)
    mantissa = np.rint(np.ldexp(value, -shift))
    over = np.abs(mantissa) > (1 << room) - 1
    shift, mantissa = shift + over, np.where(over, np.rint(np.ldexp(value, -shift - 1)), mantissa)
    return mantissa.astype(np.int64), shift


class Scaled(Pattern):
    """A layer with weights that ends in scale-out, or in the 32-bit accumulator where it is the last."""

    channel_axis: ClassVar[int] = 0

    def is_last(self, block: Block) -> bool:
        """Whether no layer of the chip follows and nothing happens to the sum: then the accumulator itself leaves."""
        out = block.nodes[-1].outputs[0]
        plain = block.node("Relu", "Clip", "MaxPool", "GlobalAveragePool") is None
        return plain and all(user.op_type in common.HOST_TAIL for user, _ in out.uses())

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:  # noqa: ARG002, D102
        if self.is_last(block):
            return None
        return replace(spec, axis=None) if graph.rank(block.nodes[-1].outputs[0]) == 2 else spec

    def finish(
        self, block: Block, context: Lowering, limit: Floats, *, pixels: int = 1
    ) -> tuple[Floats, dict[str, Any], dict[str, Any]]:
        """Scale of the weights, and the constants and attributes of the activation and of scale-out.

        Args:
            limit: the least scale of each filter at which its weights fit.
            pixels: pixels that a global average sums.
        """
        if self.is_last(block):
            context.refine(block.outputs[0], QuantParams(limit, INT32, axis=1))
            return limit, {}, {}
        out = context.params[block.outputs[0]]
        ratio = limit / (pixels * np.broadcast_to(out.scale, limit.shape))
        peak = np.broadcast_to(out.scale * (out.dtype.high + 1), limit.shape) * pixels / limit
        bits = np.clip(31 - np.ceil(np.log2(1.25 * peak)), 1, 8)
        exponent = np.clip(bits - np.frexp(ratio)[1], SHIFT_LOW, SHIFT_HIGH).astype(np.int64)
        mantissa = np.clip(np.ceil(np.ldexp(ratio, exponent) * (1 - 1e-12)), 1, 2**bits)
        full = mantissa == 2**bits
        mantissa, exponent = np.where(full, mantissa / 2, mantissa), exponent - full
        scale = np.ldexp(mantissa, -exponent) * pixels * np.broadcast_to(out.scale, limit.shape)
        constants: dict[str, Any] = {"output_scale": mantissa.astype(np.int64), "output_shift": exponent}
        constants |= self._activation(block, scale)
        return scale, constants, {"output_bits": out.dtype.bits}

    def _activation(self, block: Block, scale: Floats) -> dict[str, Any]:
        clamp = clamp_of(block)
        if clamp is None:
            return {}
        if np.isinf(clamp[1]):
            return {"max_value": np.full(len(scale), 127), "max_value_shift": np.full(len(scale), akida2_kernels.UNBOUNDED)}
        value, shift = encode(clamp[1] / scale, 8, signed=False)
        return {"max_value": value, "max_value_shift": shift}

    def products(
        self, block: Block, context: Lowering, weight: Floats, source: QuantParams, *, pixels: int = 1
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Constants and attributes from folded weights (filters first) to the output; the zero point goes into the bias."""
        high = context.weight_spec(block).dtype.high
        scale, constants, attributes = self.finish(block, context, common.largest(weight) / high, pixels=pixels)
        shape = (-1, *[1] * (weight.ndim - 1))
        integers = np.clip(np.rint(weight / scale.reshape(shape)), -high, high).astype(np.int64)
        bias = block.constant("bias") if "bias" in block.bindings else np.zeros(len(weight))
        zeros = common.zero_point(source, weight.shape[1]).reshape(1, -1, *[1] * (weight.ndim - 2))
        mantissa, shift = encode(bias / scale - (integers * zeros).sum(axis=tuple(range(1, weight.ndim))), 8, signed=True)
        constants |= {"weight": integers.astype(np.int8), "bias": mantissa, "bias_shift": shift}
        return constants, attributes


class Conv2D(Scaled):
    """InputConv2D, Conv2D and DepthwiseConv2D with ReLU, max pooling or a global average."""

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any) -> Any:  # noqa: D102
        conv = op.Conv(x, weight, bias)
        relu, clip, pools = op.Relu(conv), op.Clip(conv, low, high), ("GlobalAveragePool", "MaxPool")
        longest = [op.one_of(*pools)(form) for form in (relu, clip, conv)]
        return (*longest, op.Flatten(conv), relu, clip, conv)

    def check(self, context: CheckContext, block: Block, x: Any, weight: Any, **_: Any) -> bool:  # type: ignore[override]  # noqa: D102
        if graph.constant(weight) is None:
            return context.fail("its weights are not constant")
        clamp = clamp_of(block)
        if clamp is not None and clamp[0] != 0:
            return context.fail("its Clip does not start at 0")
        if self.reads_image(block, x, context):
            return check_input_conv(context, block)
        return check_conv(context, block)

    def reads_image(self, block: Block, x: Any, context: CheckContext) -> bool:
        """Whether it is the input layer for 8-bit images: 1 or 3 channels, unsigned, and an activation."""
        channels = (graph.dims(x) or (0, 0))[1]
        wished = context.config.input_dtype in {None, "float32", "uint8"}
        unsigned = wished and not common.is_signed_input(x)
        depthwise = common.is_depthwise(block.nodes[0])
        return is_input(x) and channels in {1, 3} and unsigned and not depthwise

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:  # noqa: ARG002, D102
        x = block.bindings["x"]
        if is_input(x) and not self.reads_image(block, x, context):
            return replace(spec, dtype=INT8, symmetric=True)
        return spec

    def lower(self, block: Block, context: Lowering) -> Layer:  # noqa: D102
        source, node = context.params[block.inputs[0]], block.nodes[0]
        depthwise = common.is_depthwise(node)
        weight = block.constant("weight")
        folded = common.fold_input_scale(weight, source, axis=0 if depthwise else 1)
        gap = block.node("GlobalAveragePool") is not None
        pixels = int(np.prod([n or 0 for n in context.shape(node.outputs[0].name or "")[2:]])) if gap else 1
        constants, attributes = self.products(block, context, folded, source, pixels=pixels)
        attributes |= {"strides": list(graph.attribute(node, "strides")), "pads": list(graph.attribute(node, "pads"))}
        attributes |= {"group": len(weight) if depthwise else 1, "gap": gap, "flatten": block.node("Flatten") is not None}
        attributes |= common.pool_attributes(block.node("MaxPool"))
        if self.reads_image(block, block.bindings["x"], context):
            constants["padding_value"] = common.zero_point(source, weight.shape[1]).astype(np.uint8)
            attributes["buffer_bits"] = 32
        return Layer("conv2d", block.inputs, block.outputs, constants, attributes)


class Rectifier(Scaled):
    """ReLU, pooling or a global average after an Add or a Concatenate: an identity convolution that does it."""

    def pattern(self, op: Builder, x: Any, low: Any, high: Any) -> Any:  # noqa: D102
        relu, clip = op.Relu(x), op.Clip(x, low, high)
        pools = op.one_of("GlobalAveragePool", "MaxPool")
        return pools(relu), pools(clip), relu, clip, pools(x)

    def check(self, context: CheckContext, block: Block, x: Any, **_: Any) -> bool:  # type: ignore[override]  # noqa: D102
        if is_input(x):
            return context.fail("can't be the input layer")
        clamp = clamp_of(block)
        if clamp is not None and clamp[0] != 0:
            return context.fail("its Clip does not start at 0")
        return check_conv(context, block)

    def lower(self, block: Block, context: Lowering) -> Layer:  # noqa: D102
        source, shape = context.params[block.inputs[0]], context.shape(block.inputs[0])
        channels, gap = int(shape[1] or 0), block.node("GlobalAveragePool") is not None
        identity = common.fold_input_scale(np.eye(channels)[:, :, None, None], source, axis=1)
        pixels = int(np.prod([n or 0 for n in shape[2:]])) if gap else 1
        constants, attributes = self.products(block, context, identity, source, pixels=pixels)
        attributes |= {"strides": [1, 1], "pads": [0] * 4, "group": 1, "gap": gap}
        attributes |= common.pool_attributes(block.node("MaxPool"))
        return Layer("conv2d", block.inputs, block.outputs, constants, attributes)


class Conv2DTranspose(Scaled):
    """Transposed convolution, plain or depthwise: kernel 3 or 4, stride 2, the output twice the size of the input."""

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any) -> Any:  # noqa: D102
        conv = op.ConvTranspose(x, weight, bias)
        return op.Relu(conv), op.Clip(conv, low, high), conv

    def check(self, context: CheckContext, block: Block, x: Any, weight: Any, **_: Any) -> bool:  # type: ignore[override]  # noqa: D102
        node, array = block.nodes[0], graph.constant(weight)
        kernel, group = graph.attribute(node, "kernel_shape"), graph.attribute(node, "group", 1)
        if array is None or is_input(x):
            return context.fail("its weights are not constant" if array is None else "can't be the input layer")
        if tuple(kernel) not in {(3, 3), (4, 4)} or tuple(graph.attribute(node, "strides")) != (2, 2):
            return context.fail("kernel 3 or 4 with stride 2 only")
        begin = (kernel[0] - 2) // 2
        end = kernel[0] - 2 - begin
        if tuple(graph.attribute(node, "pads")) != (begin, begin, end, end) or any(graph.attribute(node, "output_padding", ())):
            return context.fail(f"pads must be {[begin, begin, end, end]}, so that the output has twice the input's size")
        if group != 1 and array.shape[:2] != (group, 1):
            return context.fail("groups other than one for each channel")
        clamp = clamp_of(block)
        return clamp is None or clamp[0] == 0 or context.fail("its Clip does not start at 0")

    def lower(self, block: Block, context: Lowering) -> Layer:  # noqa: D102
        source, node = context.params[block.inputs[0]], block.nodes[0]
        group = int(graph.attribute(node, "group", 1))
        folded = common.fold_input_scale(block.constant("weight"), source, axis=0)
        filters_first = folded if group > 1 else folded.swapaxes(0, 1)
        constants, attributes = self.products(block, context, filters_first, source)
        if group == 1:
            constants["weight"] = np.ascontiguousarray(constants["weight"].swapaxes(0, 1))
        attributes |= {"pads": list(graph.attribute(node, "pads")), "group": group}
        return Layer("conv2d_transpose", block.inputs, block.outputs, constants, attributes)


class Dense1D(Scaled):
    """A dense layer, with or without a flattened map before it."""

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any) -> Any:  # noqa: D102
        flat, plain = op.Gemm(op.Flatten(x), weight, bias), op.Gemm(x, weight, bias)
        return tuple(form for dense in (flat, plain) for form in (op.Relu(dense), op.Clip(dense, low, high), dense))

    def check(self, context: CheckContext, x: Any, weight: Any, block: Block, **_: Any) -> bool:  # type: ignore[override]  # noqa: D102
        matrix = graph.constant(weight)
        if matrix is None:
            return context.fail("its weights are not constant")
        if matrix.shape[1] > 2048:
            return context.fail(f"2048 inputs at the most, not {matrix.shape[1]}")
        producer = x.producer()
        if producer is not None and producer.op_type == "MaxPool":
            return context.fail("max pooling right before a dense layer")
        clamp = clamp_of(block)
        return clamp is None or clamp[0] == 0 or context.fail("its Clip does not start at 0")

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:  # noqa: ARG002, D102
        x = block.bindings["x"]
        if is_input(x):
            return replace(spec, dtype=INT8, symmetric=True, axis=None)
        return replace(spec, axis=None) if graph.rank(x) == 2 else spec

    def lower(self, block: Block, context: Lowering) -> Layer:  # noqa: D102
        source = context.params[block.inputs[0]]
        folded = common.fold_input_scale(block.constant("weight"), source, axis=1)
        constants, attributes = self.products(block, context, folded, source)
        constants["weight"] = np.ascontiguousarray(constants["weight"].T)
        return Layer("dense1d", block.inputs, block.outputs, constants, attributes)


class Add(Pattern):
    """Sum of two maps whose scales are powers of two."""

    def pattern(self, op: Builder, x: Any, y: Any) -> Any:  # noqa: D102
        return op.Add(x, y)

    def check(self, context: CheckContext, block: Block, x: Any, y: Any, **_: Any) -> bool:  # type: ignore[override]  # noqa: D102
        if any(graph.constant(value) is not None or is_input(value) for value in (x, y)):
            return context.fail("adds a constant or the model's input")
        if graph.dims(x) != graph.dims(y):
            return context.fail("its inputs differ in shape")
        return check_readers(context, block)

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:  # noqa: ARG002, D102
        return replace(spec, scale=ScaleKind.POWER_OF_TWO)

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:  # noqa: ARG002, D102
        return replace(spec, scale=ScaleKind.POWER_OF_TWO)

    def lower(self, block: Block, context: Lowering) -> Layer:  # noqa: D102
        a, b, out = context.edges(block)
        channels = int(context.shape(block.outputs[0])[1] or 0)
        first, second, last = (np.broadcast_to(params.exponents, (channels,)) for params in (a, b, out))
        common_exponent = np.minimum(first, second)
        shifts = {"a_shift": first - common_exponent, "b_shift": second - common_exponent}
        wanted = last - common_exponent
        largest = np.maximum(shifts["a_shift"], shifts["b_shift"])
        allowed = np.clip(wanted, largest - 3, largest + 4)
        if (allowed != wanted).any():
            last = common_exponent + allowed
            context.refine(block.outputs[0], QuantParams(np.exp2(last), out.dtype, axis=1))
        constants = {name: shift.astype(np.int64) for name, shift in shifts.items()} | {"output_shift": allowed}
        return Layer("shifted_add", block.inputs, block.outputs, constants, {"output_bits": out.dtype.bits})


class Concatenate(Pattern):
    """Two maps joined along their channels; every channel keeps its scale."""

    def pattern(self, op: Builder, x: Any, y: Any) -> Any:  # noqa: D102
        return op.Concat(x, y)

    def check(self, context: CheckContext, block: Block, x: Any, y: Any, **_: Any) -> bool:  # type: ignore[override]  # noqa: D102
        if any(graph.constant(value) is not None or is_input(value) for value in (x, y)):
            return context.fail("joins a constant or the model's input")
        if graph.rank(x) != 4 or graph.attribute(block.nodes[0], "axis") not in {1, -3}:
            return context.fail("joins along another axis than the channels")
        return check_readers(context, block)

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:  # noqa: ARG002, D102
        return None

    def lower(self, block: Block, context: Lowering) -> Layer:  # noqa: D102
        sources = [context.params[name] for name in block.inputs]
        channels = [int(context.shape(name)[1] or 0) for name in block.inputs]
        scales = [np.broadcast_to(params.scale, (count,)) for params, count in zip(sources, channels, strict=True)]
        context.refine(block.outputs[0], QuantParams(np.concatenate(scales), sources[0].dtype, axis=1))
        return Layer("concatenate", block.inputs, block.outputs)


AKIDA2 = Target(
    name="akida2",
    summary="Akida 2: 8-bit weights and activations, scales for each channel",
    domain="quaint.akida",
    patterns=(Conv2D, Conv2DTranspose, Dense1D, Add, Concatenate, Rectifier),
    activation=QuantSpec(INT8, axis=1, observer="minmax"),
    weight=QuantSpec(INT8, axis=0, narrow=True),
    rounding=Rounding.HALF_UP,
    input=QuantSpec(UINT8, axis=1, symmetric=False),
    input_rounding=Rounding.HALF_AWAY,
    kernels=akida2_kernels.KERNELS,
    input_dtypes=("uint8", "int8"),
    host=frozenset({"Softmax", "LogSoftmax", ANY}),
)
