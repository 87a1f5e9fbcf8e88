"""Akida 1 (AKD1000, AKD1500): which layers it has, and how a float block becomes thresholds and steps.

With ``scale`` the real value of one unit of potential in a filter and N the pixels of a global average, the nearest level
of ``y / s_y`` is ``ceil((potential - threshold) / step)`` with ``step = N * s_y / scale`` and
``threshold = step / 2 - N * bias / scale``. The weights' scale is chosen a little coarser than it need be so that the step
is a whole number of sixteenths, as the chip has it: then the next layer's input has exactly the scale that it counts on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.numerics import IntType, QuantParams, QuantSpec, Rounding
from quaint.patterns import Builder, Pattern
from quaint.specs import weight_spec
from quaint.target import ANY, Target
from quaint_akida import akida1_kernels, common

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.partition import Plan, Refusal
    from quaint.patterns import Block, CheckContext

    Floats = NDArray[np.float64]

INT32 = IntType(32, signed=True)
#: Largest step in sixteenths and largest threshold: of a processor, and of the input layer (hardware pages of AKD1000).
STEP_LIMIT, INPUT_STEP_LIMIT = ((1 << 16) - 1) * 16, ((1 << 20) - 1) * 16
THRESHOLD_BITS, INPUT_THRESHOLD_BITS = 20, 24
#: Most filters of the input layer by kernel size: for one channel and for three.
INPUT_FILTERS = {3: (512, 192), 5: (192, 64), 7: (96, 32)}


class Spiking(Pattern):
    """A layer that ends in levels, or in potentials where it is the last."""

    def is_last(self, block: Block) -> bool:
        """Without an activation: only as the last layer."""
        return block.node("Relu", "Clip") is None

    def needs_activation(self, context: CheckContext, block: Block) -> bool:
        """An inner layer has narrow weights and ends in an activation that starts at zero."""
        first = common.is_input(block.bindings["x"])
        bits = weight_spec(context.target, context.config, block, reads_input=first).dtype.bits
        if bits > 4 and not first:
            return context.fail(f"weights have 4 bits at the most after the input layer, not {bits}")
        node = block.node("Relu", "Clip")
        if node is None:
            out = block.nodes[-1].outputs[0]
            readers = [user for user, _ in out.uses()]
            if readers and not out.is_graph_output():
                after = context.config.until in block.node_names or all(user.op_type in common.HOST_TAIL for user in readers)
                return after or context.fail("has no ReLU, and is not the last layer")
            return True
        if node.op_type == "Clip" and graph.scalar(node.inputs[1]) != 0:
            return context.fail("its Clip does not start at 0")
        return True

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:  # noqa: ARG002, D102
        return None if self.is_last(block) else QuantSpec(IntType(spec.dtype.bits, signed=False), observer=spec.observer)

    def finish(
        self, block: Block, context: Lowering, limit: Floats, bias: Floats, offset: Any, *, pixels: int = 1
    ) -> tuple[Floats, dict[str, Any], dict[str, Any]]:
        """Scale of the weights, and the constants and attributes of thresholds and steps.

        Args:
            limit: the least scale of each filter at which its weights fit.
            bias: real bias of each filter.
            offset: gives what the input's zero point adds to each potential, from the weights' scale.
            pixels: N above.
        """
        if self.is_last(block):
            threshold = np.rint(-pixels * bias / limit).astype(np.int64) + pixels * offset(limit)
            params = QuantParams(limit / pixels, INT32, threshold, axis=1)
            context.refine(block.outputs[0], params)
            return limit, {"threshold": threshold}, {}
        out = context.params[block.outputs[0]]
        bits, first = out.dtype.bits, context.reads_input(block)
        most = INPUT_STEP_LIMIT if first else STEP_LIMIT
        sixteenths = np.clip(np.floor(16 * pixels * out.scale / limit), 1 << (4 - bits), most)
        sixteenths -= sixteenths % (1 << (4 - bits))  # the chip shifts the step of fewer than 4 bits
        scale = 16 * pixels * out.scale / sixteenths
        threshold = np.rint(sixteenths / 32 - pixels * bias / scale).astype(np.int64) + pixels * offset(scale)
        self._fits(block, context, threshold, scale, limit, first=first)
        step = sixteenths.astype(np.int64)
        return scale, {"threshold": threshold, "step": step}, {"activation_bits": bits}

    def _fits(
        self, block: Block, context: Lowering, threshold: NDArray[np.int64], scale: Floats, limit: Floats, *, first: bool
    ) -> None:
        dtype = IntType(INPUT_THRESHOLD_BITS if first else THRESHOLD_BITS, signed=True)
        if (dtype.saturate(threshold) != threshold).any():
            context.warnings.append(f"layer {block.name!r}: thresholds do not fit {dtype}")
        if (scale < limit * (1 - 1e-9)).any():
            context.warnings.append(f"layer {block.name!r}: steps do not fit the chip, weights were clipped")


def quantize(context: Lowering, block: Block, weight: Floats, scale: Floats) -> NDArray[np.int64]:
    """Weights over the scale of their filter (axis 0), rounded, symmetric: -7 ... 7 at 4 bits."""
    high = context.weight_spec(block).dtype.high
    return np.clip(np.rint(weight / scale.reshape(-1, *[1] * (weight.ndim - 1))), -high, high).astype(np.int64)


class Convolutional(Spiking):
    """A convolution with ReLU, max pooling or a global average, at the entrance (8-bit image) or inside."""

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any) -> Any:  # noqa: D102
        conv = op.Conv(x, weight, bias)
        relu, clip = op.Relu(conv), op.Clip(conv, low, high)
        return op.MaxPool(relu), op.MaxPool(clip), op.Flatten(conv), op.GlobalAveragePool(conv), relu, clip, conv

    def check(self, context: CheckContext, block: Block, x: Any, **_: Any) -> bool:  # type: ignore[override]  # noqa: D102
        node, pool = block.nodes[0], block.node("MaxPool")
        window = common.window(context, node)
        weight = graph.constant(node.inputs[1])
        if window is None:
            return False
        if weight is None:
            return context.fail("its weights are not constant")
        if window.group != 1:
            return context.fail("a depthwise convolution needs a pointwise one right after it, without activation between")
        if block.node("Flatten") and (graph.dims(node.outputs[0]) or ())[2:] != (1, 1):
            return context.fail("flattens a map")
        if pool is not None and not common.max_pool_fits(context, pool, (2,)):
            return False
        fits = self._input_fits if common.is_input(x) else self._inner_fits
        return fits(context, window, weight, block) and self.needs_activation(context, block)

    def _input_fits(self, context: CheckContext, window: common.Window, weight: Any, block: Block) -> bool:
        filters, channels = weight.shape[:2]
        if channels not in {1, 3}:
            return context.fail(f"the input layer takes 1 or 3 channels, not {channels}")
        if window.kernel not in INPUT_FILTERS:
            return context.fail(f"the input layer's kernel is 3, 5 or 7, not {window.kernel}")
        if window.stride not in {1, 2, 3}:
            return context.fail(f"the input layer's stride is 1 to 3, not {window.stride}")
        if window.padding not in {"same", "valid"}:
            return context.fail(f"padding {list(window.pads)} is neither 'same' (the odd row at the end) nor none")
        if min(window.size) < 5 or window.size[1] > 256:
            return context.fail(f"the input map is 5 to 256 wide and at least 5 high, not {window.size[0]}x{window.size[1]}")
        most = INPUT_FILTERS[window.kernel][channels == 3]
        if filters > most:
            return context.fail(f"the input layer has {most} filters at the most here, not {filters}")
        if self.is_last(block):
            return context.fail("the input layer needs a ReLU")
        return True

    def _inner_fits(self, context: CheckContext, window: common.Window, weight: Any, block: Block) -> bool:
        filters, channels = weight.shape[:2]
        if window.kernel not in {1, 3, 5, 7}:
            return context.fail(f"kernel is 1, 3, 5 or 7, not {window.kernel}")
        if window.stride != 1 and (window.stride, window.kernel) != (2, 3):
            return context.fail(f"stride {window.stride} with kernel {window.kernel}: only 1, or 2 with kernel 3")
        if window.padding != "same":
            return context.fail(f"padding {list(window.pads)} is not 'same' (the odd row at the end)")
        if max(filters, channels) > 2048:
            return context.fail(f"2048 channels and filters at the most, not {max(filters, channels)}")
        if window.stride == 2 and block.node("MaxPool"):
            return context.fail("pooling and stride 2 together")
        if block.node("GlobalAveragePool") and max(window.size) > 32:
            return context.fail("a global average of more than 32x32")
        return True

    def lower(self, block: Block, context: Lowering) -> Layer:  # noqa: D102
        source, node = context.params[block.inputs[0]], block.nodes[0]
        weight = common.fold_input_scale(block.constant("weight"), source, axis=1)
        limit = common.largest(weight) / context.weight_spec(block).dtype.high
        zeros = common.zero_point(source, weight.shape[1]).reshape(1, -1, 1, 1)

        def offset(scale: Floats) -> NDArray[np.int64]:
            return np.asarray((quantize(context, block, weight, scale) * zeros).sum(axis=(1, 2, 3)), np.int64)

        gap = block.node("GlobalAveragePool") is not None
        size = context.shape(node.outputs[0].name or "")[2:]
        pixels = int(np.prod([n or 0 for n in size])) if gap else 1
        scale, constants, attributes = self.finish(
            block, context, limit, block.constant("bias"), offset, pixels=pixels
        )
        constants["weight"] = quantize(context, block, weight, scale).astype(np.int8)
        attributes |= {"strides": list(graph.attribute(node, "strides")), "pads": list(graph.attribute(node, "pads"))}
        attributes |= common.pool_attributes(block.node("MaxPool")) | {"gap": gap}
        attributes |= {"padding_value": int(zeros.flat[0]), "flatten": block.node("Flatten") is not None}
        return Layer("convolutional", block.inputs, block.outputs, constants, attributes)


class SeparableConvolutional(Spiking):
    """A depthwise convolution with a pointwise one right after it."""

    def pattern(  # noqa: D102
        self, op: Builder, x: Any, weight: Any, bias: Any, pointwise: Any, pointwise_bias: Any, low: Any, high: Any
    ) -> Any:
        conv = op.Conv(op.Conv(x, weight, bias), pointwise, pointwise_bias)
        relu, clip = op.Relu(conv), op.Clip(conv, low, high)
        return op.MaxPool(relu), op.MaxPool(clip), op.GlobalAveragePool(conv), relu, clip, conv

    def check(self, context: CheckContext, block: Block, x: Any, **_: Any) -> bool:  # type: ignore[override]  # noqa: D102
        first, second = block.nodes[:2]
        if not common.is_depthwise(first) or graph.constant(second.inputs[1]) is None:
            return context.fail("two convolutions in a row without ReLU between")
        window, point = common.window(context, first), common.window(context, second)
        if window is None or point is None:
            return False
        if (point.kernel, point.stride, point.group) != (1, 1, 1):
            return context.fail("after a depthwise convolution without ReLU: only a pointwise one (1x1, stride 1)")
        if common.is_input(x):
            return context.fail("a depthwise convolution can't be the input layer")
        if window.kernel not in {3, 5, 7} or (window.stride != 1 and (window.stride, window.kernel) != (2, 3)):
            return context.fail(f"depthwise kernel {window.kernel}, stride {window.stride}: 3, 5, 7 with 1, or 3 with 2")
        if window.padding != "same":
            return context.fail(f"padding {list(window.pads)} is not 'same' (the odd row at the end)")
        pool = block.node("MaxPool")
        if pool is not None and not common.max_pool_fits(context, pool, (2,)):
            return False
        return self.needs_activation(context, block)

    def lower(self, block: Block, context: Lowering) -> Layer:  # noqa: D102
        source, first = context.params[block.inputs[0]], block.nodes[0]
        high = context.weight_spec(block).dtype.high
        depthwise = block.constant("weight") * np.broadcast_to(source.scale, (len(block.constant("weight")),))[:, None, None, None]
        depth_scale = common.largest(depthwise) / high
        pointwise = block.constant("pointwise")
        bias = block.constant("pointwise_bias") + pointwise[:, :, 0, 0] @ block.constant("bias")
        folded = pointwise * depth_scale.reshape(1, -1, 1, 1)
        gap = block.node("GlobalAveragePool") is not None
        size = context.shape(first.outputs[0].name or "")[2:]
        pixels = int(np.prod([n or 0 for n in size])) if gap else 1
        scale, constants, attributes = self.finish(
            block, context, common.largest(folded) / high, bias, lambda _: 0, pixels=pixels
        )
        constants["weight"] = quantize(context, block, depthwise, depth_scale).astype(np.int8)
        constants["pointwise"] = quantize(context, block, folded, scale).astype(np.int8)
        attributes |= {"strides": list(graph.attribute(first, "strides")), "pads": list(graph.attribute(first, "pads"))}
        attributes |= common.pool_attributes(block.node("MaxPool")) | {"gap": gap}
        return Layer("separable_convolutional", block.inputs, block.outputs, constants, attributes)


class AveragedDense(Spiking):
    """A global average and a dense layer: the same as a pointwise convolution whose potentials are averaged."""

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any) -> Any:  # noqa: D102
        dense = op.Gemm(op.Flatten(op.GlobalAveragePool(x)), weight, bias)
        return op.Relu(dense), op.Clip(dense, low, high), dense

    def check(self, context: CheckContext, block: Block, x: Any, **_: Any) -> bool:  # type: ignore[override]  # noqa: D102
        size = (graph.dims(x) or ())[2:]
        if common.is_input(x):
            return context.fail("a dense layer can't be the input layer")
        if len(size) != 2 or not all(isinstance(n, int) and n <= 32 for n in size):
            return context.fail("a global average of more than 32x32")
        return self.needs_activation(context, block)

    def lower(self, block: Block, context: Lowering) -> Layer:  # noqa: D102
        source = context.params[block.inputs[0]]
        weight = common.fold_input_scale(block.constant("weight"), source, axis=1)[:, :, None, None]
        limit = common.largest(weight) / context.weight_spec(block).dtype.high
        pixels = int(np.prod([n or 0 for n in context.shape(block.inputs[0])[2:]]))
        scale, constants, attributes = self.finish(
            block, context, limit, block.constant("bias"), lambda _: 0, pixels=pixels
        )
        constants["weight"] = quantize(context, block, weight, scale).astype(np.int8)
        attributes |= {"strides": [1, 1], "pads": [0, 0, 0, 0], "gap": True, "flatten": True}
        return Layer("convolutional", block.inputs, block.outputs, constants, attributes)


class FullyConnected(Spiking):
    """A dense layer, with or without a flattened map before it."""

    most_inputs: ClassVar[int] = 57_334

    def pattern(self, op: Builder, x: Any, weight: Any, bias: Any, low: Any, high: Any) -> Any:  # noqa: D102
        flat, plain = op.Gemm(op.Flatten(x), weight, bias), op.Gemm(x, weight, bias)
        forms = [form for dense in (flat, plain) for form in (op.Relu(dense), op.Clip(dense, low, high), dense)]
        return tuple(forms)

    def check(self, context: CheckContext, block: Block, x: Any, weight: Any, **_: Any) -> bool:  # type: ignore[override]  # noqa: D102
        matrix = graph.constant(weight)
        if common.is_input(x):
            return context.fail("a dense layer can't be the input layer")
        if matrix is None:
            return context.fail("its weights are not constant")
        if matrix.shape[1] > self.most_inputs:
            return context.fail(f"{self.most_inputs} inputs at the most, not {matrix.shape[1]}")
        producer = x.producer()
        if producer is not None and producer.op_type == "MaxPool":
            return context.fail("max pooling right before a dense layer")
        return self.needs_activation(context, block)

    def lower(self, block: Block, context: Lowering) -> Layer:  # noqa: D102
        source = context.params[block.inputs[0]]
        weight = common.fold_input_scale(block.constant("weight"), source, axis=1)
        limit = common.largest(weight) / context.weight_spec(block).dtype.high
        scale, constants, attributes = self.finish(block, context, limit, block.constant("bias"), lambda _: 0)
        constants["weight"] = np.ascontiguousarray(quantize(context, block, weight, scale).T).astype(np.int8)
        return Layer("fully_connected", block.inputs, block.outputs, constants, attributes)


def sequential(plan: Plan) -> Iterable[Refusal]:
    """The chip runs one chain of layers: refuse tensors that two of them read."""
    from quaint.partition import Refusal

    for name, readers in plan.consumers.items():
        if len(readers) > 1:
            made = plan.producers.get(name)
            where = made.name if made else name
            yield Refusal(where, made.nodes[0].op_type if made else "input", f"{len(readers)} layers read its output")
    if len(plan.outputs) > 1:
        yield Refusal(plan.blocks[-1].name, plan.blocks[-1].nodes[0].op_type, f"{len(plan.outputs)} tensors leave the chip")


AKIDA1 = Target(
    name="akida1",
    summary="Akida 1 (AKD1000, AKD1500): 4-bit weights and activations, thresholds, sequential nets",
    domain="quaint.akida",
    patterns=(AveragedDense, SeparableConvolutional, Convolutional, FullyConnected),
    activation=QuantSpec(IntType(4, signed=False), observer="percentile"),
    weight=QuantSpec(IntType(4, signed=True), axis=0, narrow=True),
    input=QuantSpec(IntType(8, signed=False), symmetric=False),
    input_rounding=Rounding.HALF_AWAY,
    kernels=akida1_kernels.KERNELS,
    weight_bits=(2, 4, 8),
    activation_bits=(1, 2, 4),
    input_dtypes=("uint8",),
    host=frozenset({"Softmax", "LogSoftmax", ANY}),
    defaults={"input_weight_bits": 8},
    check=sequential,
)
