"""Division, remainder, power: of two tensors in float32, with one number as a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers.constants import check_constant, constant_side, quantized_constant
from quaint.specs import activation_spec
from quaint_espdl.patterns.normalization import float_stage
from quaint_espdl.patterns.tables import Stepped
from quaint_espdl.patterns.widths import OneWidth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from quaint.lower import Lowering
    from quaint.numerics import QuantParams
    from quaint.patterns import Block, Builder, CheckContext

#: What they are in float64; an operand that has no quotient or power leaves NaN.
FUNCTIONS = {"Div": np.divide, "Mod": np.fmod, "Pow": np.power}


class Binary(Stepped):
    """Of two tensors, or of a tensor and a constant.

    With one number it is a function of one tensor: a table, but for quotients at 16 bits, where a table of every n-th integer
    would be coarser.
    """

    def pattern(self, op: Builder, x: Any, y: Any) -> Any:
        return op.one_of(*FUNCTIONS)(x, y)

    def check(self, context: CheckContext, *_: Any, **bindings: Any) -> bool:
        block: Block = bindings["block"]
        operator, side = block.nodes[0].op_type, constant_side(block)
        if operator == "Mod" and not graph.attribute(block.nodes[0], "fmod", 0):
            return context.fail("a remainder with the sign of the divisor (fmod = 0)")
        if operator == "Pow" and _wide(block, context) and not _is_table(block, context):
            return context.fail("powers of tensors at 16 bits: give it 8")
        if side == 1 and operator != "Pow" and not np.all(graph.constant(block.bindings["y"])):
            return context.fail("divides by a constant zero")
        return check_constant(context, block)

    def entries(self, block: Block, context: Lowering, integers: ArrayLike) -> NDArray[Any]:
        """What the output's integers are for these of the input; where there is no value, 0."""
        source, out = context.edges(block)
        operands = [source.dequantize(integers), source.dequantize(integers)]
        side = constant_side(block) or 0
        operands[side] = np.asarray(graph.scalar(block.bindings["xy"[side]]))
        with np.errstate(all="ignore"):
            values = np.nan_to_num(FUNCTIONS[block.nodes[0].op_type](*operands), nan=0.0)
        return out.quantize(values, context.target.rounding).astype(out.dtype.storage)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        if _is_table(block, context):
            return super().lower(block, context)
        constant, side = quantized_constant(block, context), constant_side(block)
        names = list(block.inputs)
        if side is not None:
            names.insert(side, f"{block.name}/constant")
        x, y = (context.params[name] for name in names)
        sizes = constant["constant"].shape if side == 1 else context.shape(names[1])
        given = _scales(block, context, x, y) | ({"from_constant": True} if side == 0 else {})
        if block.nodes[0].op_type == "Div":
            given |= {"inverse": math.prod(size or 1 for size in sizes) == 1 and y.dtype.bits == 8}
        return Layer(block.nodes[0].op_type, block.inputs, block.outputs, constant, given)


def _scales(block: Block, context: Lowering, x: QuantParams, y: QuantParams) -> dict[str, Any]:
    """What the kernel knows of its operands and its output; a quotient has one factor for all."""
    given = float_stage(block, context)
    if block.nodes[0].op_type != "Div":
        return given | {"scale": float(x.scale), "scale_y": float(y.scale)}
    factor = float(x.scale / y.scale) / given.pop("out_scale")
    return {"factor": factor, **{key: given[key] for key in ("low", "high", "rounding")}}


def _wide(block: Block, context: CheckContext) -> bool:
    return activation_spec(context.target, context.config, block).dtype.bits > 8


def _is_table(block: Block, context: CheckContext) -> bool:
    side = constant_side(block)
    if side is None or graph.scalar(block.bindings["xy"[side]]) is None:
        return False
    return block.nodes[0].op_type != "Div" or not _wide(block, context)


class Quotient(OneWidth, Binary):
    """Quotient, remainder or power of tensors of one width."""
