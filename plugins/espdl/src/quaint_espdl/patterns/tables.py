"""Functions of one number: as tables, and slopes as the runtime's PRelu computes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers import patterns as core
from quaint.layers.output import bounds
from quaint.numerics import Rounding
from quaint.patterns import Pattern, Sharing
from quaint.specs import activation_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from quaint.lower import Lowering
    from quaint.numerics import QuantParams
    from quaint.patterns import Block, Builder, CheckContext
from quaint_espdl.patterns.widths import Observed, OneWidth

#: Beyond it the exponent of the slopes is positive, and the accumulator would have to be shifted to the left.
STEEPEST = 127.0


class Stepped(core.Table):
    """At 16 bits a table of every n-th integer, of which the nearest counts; ``options.table_step`` is n."""

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        source = context.params[block.inputs[0]]
        step = context.target.option(context.config, "table_step")
        if source.dtype.bits == 8 or step == 1:
            return super().lower(block, context)
        integers = np.arange(source.dtype.low, source.dtype.high + 2, step)  # the last stands for one past the highest
        attributes = {"bits": int(step).bit_length() - 1, "rounding": str(context.target.rounding)}
        table = self.entries(block, context, integers)
        return Layer("WideLookup", block.inputs, block.outputs, {"table": table}, attributes)


class Table(OneWidth, Stepped):
    """An elementwise function as a table of 256 entries, or at 16 bits of every n-th integer."""


class SharedClip(Table):
    """Clip at 8 bits of a tensor that others read too: on an exponent of its own, since the input's is too coarse."""

    def pattern(self, op: Builder, x: Any, low: Any, high: Any) -> Any:  # type: ignore[override]
        return op.Clip(x, low, high)

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:  # type: ignore[override]
        narrow = activation_spec(context.target, context.config, block).dtype.bits == 8
        if not narrow or graph.sole_consumer(bindings["x"]) is not None:
            return context.fail("its input's exponent will do")
        return all(graph.scalar(bindings[name]) is not None for name in ("low", "high")) or context.fail("an open end")

    def entries(self, block: Block, context: Lowering, integers: ArrayLike) -> NDArray[Any]:
        source, out = context.edges(block)
        low, high = (block.constant(name).item() for name in ("low", "high"))
        table = out.quantize(source.dequantize(integers).clip(low, high), context.target.rounding)
        return table.astype(out.dtype.storage)


class PRelu(Observed, core.PRelu):
    """A slope for each channel on the input's exponent: the runtime's C code leaves what is not negative as it is."""

    sharing = Sharing.OUTPUT_AS_INPUT

    def check(self, context: CheckContext, *_: Any, **bindings: Any) -> bool:
        if not super().check(context, **bindings):
            return False
        slopes = graph.constant(bindings["slope"])
        if slopes is not None and np.abs(slopes).max() > STEEPEST:
            return context.fail(f"a slope steeper than {STEEPEST:.0f}")
        return True

    def lower(self, block: Block, context: Lowering) -> Layer:
        out = context.params[block.outputs[0]]
        constants, slope = self.slopes(block, context)
        constants["slope_shift"] = -slope.exponents
        low, high = bounds(out, None)
        rounds = out.dtype.bits in context.target.limits["rounding_prelu"]
        rounding = str(context.target.rounding if rounds else Rounding.FLOOR)
        attributes = {"low": low, "high": high, "rounding": rounding}
        return Layer("prelu", block.inputs, block.outputs, constants, attributes)


class WideSlope(PRelu):
    """One slope for all at 16 bits: exact as PRelu, where a table of every n-th integer is not."""

    def pattern(self, op: Builder, x: Any, slope: Any) -> Any:
        return op.LeakyRelu(x), op.PRelu(x, slope)

    def check(self, context: CheckContext, *_: Any, **bindings: Any) -> bool:
        block: Block = bindings["block"]
        shape = graph.dims(bindings["x"]) or ()
        wide = activation_spec(context.target, context.config, block).dtype.bits > 8
        if not wide or len(shape) < 2 or not isinstance(shape[1], int) or self._slope(block) is None:
            return context.fail("one slope for all makes a table")
        return True

    def slopes(self, block: Block, context: Lowering) -> tuple[dict[str, NDArray[Any]], QuantParams]:
        channels = context.shape(block.inputs[0])[1] or 1
        return self.quantized_slopes(block, context, np.full(channels, self._slope(block)))

    def _slope(self, block: Block) -> float | None:
        node = block.nodes[0]
        slope = graph.attribute(node, "alpha", 0.01) if node.op_type == "LeakyRelu" else graph.scalar(node.inputs[1])
        return None if slope is None or not abs(slope) <= STEEPEST else float(slope)


class Unregistered(Pattern):
    """Operators of which the runtime has no module, or whose result no layer of it takes in."""

    def pattern(self, op: Builder, *xs: Any) -> Any:
        return op.one_of(*REASONS)(*xs)

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        return context.fail(REASONS[block.nodes[0].op_type])


_NO_MODULE = "ESP-DL registers no module for it"
_NORM = f"{_NO_MODULE}; BatchNormalization, which is folded into the layer before it, or LayerNormalization would do"
_EINSUM = "no product of two matrices: write it as MatMul, Transpose and Reshape"
REASONS = {
    **dict.fromkeys(("Max", "Min"), f"{_NO_MODULE}; with one constant for all it would be a Clip"),
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization"), _NORM),
    "RNN": f"{_NO_MODULE}; it has GRU and LSTM",
    "Einsum": _EINSUM,
    **dict.fromkeys(("And", "Or", "Xor", "Not", "Where"), _NO_MODULE),
}
