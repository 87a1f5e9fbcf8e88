"""Activations of Akida 2 that are read from a table of 2048 entries.

The accumulator is brought to 11 bits, over one range for all filters, and gives an entry of 14 bits, which scale-out brings
to the output. The table's step is a power of two: where the output's is one too (before an Add), scale-out is exact;
elsewhere the output gets the scale that mantissa and shift really give.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.layers.functions import FUNCTIONS
from quaint.layers.output import clamp_of
from quaint.numerics import QuantParams, QuantSpec, ScaleKind
from quaint.scales import Range, from_range
from quaint_akida.akida2_kernels import ENTRY, INDEX, SHIFT_HIGH, SHIFT_LOW

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.patterns import Block, Builder, CheckContext

    Floats = NDArray[np.float64]

#: Functions of one operand, by table.
TABLES = (
    "Gelu", "HardSwish", "LeakyRelu", "Sigmoid", "HardSigmoid", "Tanh", "Elu", "Celu", "Selu", "Mish", "Softplus", "Softsign",
)  # fmt: skip
#: Of a SiLU and the like: the factor besides x.
GATES = ("Sigmoid", "HardSigmoid")


def drawings(op: Builder, x: Any, slope: Any) -> tuple[Any, ...]:
    """Every activation that needs a table, on ``x``."""
    return op.one_of(*TABLES)(x), op.PRelu(x, slope), op.Mul(x, op.one_of(*GATES)(x))


def activation(block: Block) -> ir.Node | None:
    """The first node of the block's activation, if that is one by table; also a Clip that does not start at 0."""
    clamp = clamp_of(block)
    if clamp is not None:
        return block.node("Clip") if clamp[0] != 0 else None
    return block.node(*TABLES, "PRelu")


def check(context: CheckContext, block: Block) -> bool:
    """Whether a table can say what the block's activation does."""
    node = activation(block)
    if node is None:
        return True
    if block.node("MaxPool") is not None:
        return context.fail("max pooling together with an activation by table")
    slopes = graph.constant(node.inputs[1]) if node.op_type == "PRelu" else np.ones(1)
    if slopes is None or not slopes.size or (slopes != slopes.flat[0]).any():
        return context.fail("its slopes differ: one table serves all channels")
    return True


def inner_specs(spec: QuantSpec, block: Block) -> dict[str, QuantSpec]:
    """What the table is indexed with, if that is inside the block: one range for all channels."""
    node = activation(block)
    name = None if node is None else node.inputs[0].name if node.inputs[0] is not None else None
    return {} if name is None or name in block.inputs else {name: _index_spec(spec)}


def _index_spec(spec: QuantSpec) -> QuantSpec:
    return replace(spec, dtype=INDEX, axis=None, scale=ScaleKind.FLOAT)


def _curve(block: Block, node: ir.Node, x: Floats) -> Floats:
    """What the block's activation makes of ``x``."""
    if node.op_type == "Clip":
        return np.clip(x, *(clamp_of(block) or (-np.inf, np.inf)))
    if node.op_type == "PRelu":
        return np.where(x < 0, block.constant("slope").flat[0] * x, x)
    value = np.asarray(FUNCTIONS[node.op_type](node, x), np.float64)
    return value * x if block.node("Mul") is not None else value


@dataclass(frozen=True)
class Table:
    """An activation in integers.

    Args:
        step: real value of one step of the index.
        entries: 2048 integers of 14 bits, for indices from -1024 on.
        scale: real value of one step of the entries, a power of two.
    """

    step: float
    entries: NDArray[np.int64]
    scale: float

    @classmethod
    def of(cls, block: Block, context: Lowering) -> Table | None:
        """The table of a block; None where it has no activation, or one that needs none."""
        node = activation(block)
        if node is None or node.inputs[0] is None:
            return None
        seen = context.ranges[node.inputs[0].name or ""]
        whole = Range(np.asarray(np.min(seen.low)), np.asarray(np.max(seen.high)))
        step = float(from_range(_index_spec(context.target.activation), whole).scale)
        values = _curve(block, node, np.arange(INDEX.low, INDEX.high + 1, dtype=np.float64) * step)
        peak = float(np.abs(values).max()) or 1.0
        scale = 2.0 ** np.ceil(np.log2(peak / ENTRY.high))
        return cls(step, np.rint(values / scale).astype(np.int64), scale)

    def output(self, block: Block, context: Lowering, filters: int, pixels: int) -> dict[str, Any]:
        """Scale-out from entries, or from their sum over ``pixels``; the output is refined to what it really gives."""
        out = context.params[block.outputs[0]]
        ratio = self.scale / (pixels * out.scale)
        shift = np.clip(8 - np.frexp(ratio)[1], SHIFT_LOW, SHIFT_HIGH).astype(np.int64)
        mantissa = np.clip(np.rint(np.ldexp(ratio, shift)), 1, 255).astype(np.int64)
        if (np.frexp(out.scale)[0] != 0.5).any():
            true = self.scale / pixels / np.ldexp(mantissa.astype(np.float64), -shift)
            context.refine(block.outputs[0], QuantParams(true, out.dtype, axis=out.axis))
        whole = {"output_scale": mantissa, "output_shift": shift}
        return {name: np.broadcast_to(array, (filters,)) for name, array in whole.items()}
