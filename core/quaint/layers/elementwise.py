"""Layers on single elements, lowered to core's kernels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quaint import graph
from quaint.canonicalize.affine import per_channel
from quaint.integer import Layer
from quaint.layers.constants import check_constant, constant_range, constant_side, quantized_constant
from quaint.layers.functions import UNARY, apply
from quaint.layers.output import bounds, clamp_of, requantization
from quaint.layers.sharing import Aligned, Passive
from quaint.numerics import IntType
from quaint.patterns import Builder, Pattern
from quaint.scales import Range, from_range

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from quaint.lower import Lowering
    from quaint.numerics import QuantParams
    from quaint.patterns import Block, CheckContext

#: Operands that exceed their sum by more than this factor cancel each other.
CANCELLING = 1.5


class Add(Aligned):
    """Sum or difference of two tensors, or of a tensor and a constant, with ReLU or Clip."""

    def pattern(self, op: Builder, x: Any, y: Any, low: Any, high: Any) -> Any:
        total = op.one_of("Add", "Sub")(x, y)
        return op.Relu(total), op.Clip(total, low, high), total

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        return check_constant(context, block)

    def reach(self, block: Block, ranges: Mapping[str, Range]) -> Range | None:
        """Both operands: on the output's scale they must not saturate before they meet.

        Of two tensors only those that are much larger than their sum count, since what is left to the output is coarser then.
        """
        operands = [ranges[name] for name in block.inputs]
        if constant_side(block) is not None:
            operands.append(constant_range(block))
        else:
            limit = CANCELLING * _magnitude(ranges[block.outputs[0]]) if block.outputs[0] in ranges else np.inf
            operands = [operand for operand in operands if _magnitude(operand) > limit]
        if not operands:
            return None
        return Range(np.min([np.min(r.low) for r in operands]), np.max([np.max(r.high) for r in operands]))

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        layers, names = self.align(block, context)
        out = context.params[block.outputs[0]]
        constant = quantized_constant(block, context, out)
        stage, attrs = requantization(context.target, out.scale, out, clamp_of(block))
        attrs |= {"x_zero_point": int(out.zero_point), "y_zero_point": int(out.zero_point)}
        if block.node("Sub"):
            # the kernel's second operand is the constant, whichever side it stands on
            attrs |= {"x_multiplier" if constant_side(block) == 0 else "y_multiplier": -1}
        return [*layers, Layer("add", names, block.outputs, stage | constant, attrs)]


def _magnitude(observed: Range) -> float:
    return float(max(-np.min(observed.low), np.max(observed.high)))


class Mul(Pattern):
    """Product of two tensors, or of a tensor and a constant, which has a scale of its own."""

    def pattern(self, op: Builder, x: Any, y: Any) -> Any:
        return op.Mul(x, y)

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        return check_constant(context, block)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        constant = quantized_constant(block, context)
        x, *others, out = context.edges(block)
        y = context.params[f"{block.name}/constant"] if constant else others[0]
        stage, attrs = requantization(context.target, x.scale * y.scale, out)
        attrs |= {"x_zero_point": int(x.zero_point), "y_zero_point": int(y.zero_point)}
        return Layer("multiply", block.inputs, block.outputs, stage | constant, attrs)


class PRelu(Pattern):
    """ReLU with a slope below zero for each channel."""

    def pattern(self, op: Builder, x: Any, slope: Any) -> Any:
        return op.PRelu(x, slope)

    def check(self, context: CheckContext, x: Any, slope: Any, **_: Any) -> bool:
        values, shape = graph.constant(slope), graph.dims(x)
        if values is None:
            return context.fail("its slopes are not constant")
        if not np.isfinite(values).all():
            return context.fail("slopes that are not finite")
        if values.size == 1:
            return context.fail("one slope for all makes a table")
        if shape is None or per_channel(slope, values.size, len(shape)) is None:
            return context.fail(f"slopes of shape {list(values.shape)}: one for each channel, or one for all")
        return True

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        source, out = context.edges(block)
        constants, slope = self.slopes(block, context)
        stage, attrs = requantization(context.target, source.scale, out)
        sloped, _ = requantization(context.target, source.scale * slope.scale, out)
        constants |= stage | {f"slope_{name}": value for name, value in sloped.items()}
        return Layer(
            "prelu", block.inputs, block.outputs, constants, attrs | {"input_zero_point": int(source.zero_point)}
        )

    def slopes(self, block: Block, context: Lowering) -> tuple[dict[str, NDArray[Any]], QuantParams]:
        """The kernel's constant, a slope for each channel, and how it stands for reals."""
        return self.quantized_slopes(block, context, block.constant("slope").reshape(-1))

    def quantized_slopes(
        self, block: Block, context: Lowering, values: NDArray[np.float64]
    ) -> tuple[dict[str, NDArray[Any]], QuantParams]:
        """Slopes as signed integers of the output's width with real zero at 0; states them as ``LAYER/slope``."""
        limit = np.abs(values).max()
        dtype = IntType(context.params[block.outputs[0]].dtype.bits, signed=True)
        params = from_range(replace(context.target.weight, dtype=dtype, axis=None), Range(-limit, limit))
        context.params[f"{block.name}/slope"] = params
        return {"slope": params.quantize(values, context.target.rounding).astype(dtype.storage)}, params


class Activation(Passive):
    """ReLU or Clip by itself: on the input's scale."""

    cuts_off = True

    def pattern(self, op: Builder, x: Any, low: Any, high: Any) -> Any:
        return op.Relu(x), op.Clip(x, low, high)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        low, high = bounds(context.params[block.outputs[0]], clamp_of(block))
        return Layer("clip", block.inputs, block.outputs, {}, {"low": low, "high": high})


class Table(Pattern):
    """An elementwise function of one tensor, as a table of its integers (8 bits at the most)."""

    op_types: ClassVar[tuple[str, ...]] = UNARY

    def pattern(self, op: Builder, x: Any, slope: Any) -> Any:
        gate = op.one_of("Sigmoid", "HardSigmoid")(x)
        return op.Mul(x, gate), op.one_of(*self.op_types)(x), op.PRelu(x, slope)

    def check(self, context: CheckContext, slope: Any = None, **_: Any) -> bool:
        if slope is not None and graph.scalar(slope) is None:
            return context.fail("a table has one slope")
        return True

    def entries(self, block: Block, context: Lowering, integers: ArrayLike) -> NDArray[Any]:
        """What the output's integers are for these of the input."""
        source, out = context.edges(block)
        table = out.quantize(apply(block, source.dequantize(integers)), context.target.rounding)
        return table.astype(out.dtype.storage)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        low, high = context.edges(block)[0].dtype.low, context.edges(block)[0].dtype.high
        table = self.entries(block, context, np.arange(low, high + 1))
        return Layer("lookup", block.inputs, block.outputs, {"table": table}, {"low": low})
