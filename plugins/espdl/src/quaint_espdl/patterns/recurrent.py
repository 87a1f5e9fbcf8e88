"""GRU and LSTM: gates of 16 bits, a state in the integers of the output."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.numerics import IntType, QuantParams
from quaint.patterns import Pattern
from quaint.scales import Range, from_range
from quaint_espdl.patterns.widths import OneWidth

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.numerics import QuantSpec
    from quaint.patterns import Block, Builder, CheckContext
    from quaint.target import Target

    Ints = NDArray[np.int64]

GATE = IntType(16, signed=True)
#: Exponents of the gates' scale, the finest first: what the vendor's exporter takes, and coarser ones for larger sums.
GATE_EXPONENTS = (-9, -8, -7, -6)
#: How much larger than any that calibration saw at the end of a sequence a cell state may be.
CELL_MARGIN = 2
ACTIVATIONS = {"GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
#: What the runtime's modules have no attribute or input for: where it stands, and what it is called.
INPUTS = {
    4: "sequences of different lengths",
    5: "initial states other than zeros",
    6: "initial states other than zeros",
}
INPUTS |= {7: "peephole connections"}


def in_vectors(target: Target, bits: int, sizes: Sequence[int], shifts: Sequence[int]) -> list[bool]:
    """Whether vector code computes products over so many features: full vectors, shifted right."""
    lanes = target.limits["alignment"][bits]
    return [bool(lanes) and size % lanes == 0 and shift >= 0 for size, shift in zip(sizes, shifts, strict=True)]


def _reasons(node: ir.Node) -> Iterator[str]:
    """Why the runtime cannot run a layer."""
    both = graph.attribute(node, "direction", "forward") == "bidirectional"
    if graph.attribute(node, "direction", "forward") == "reverse":
        yield "the runtime runs it forwards or both ways, not backwards only: reverse the sequence before and after it"
    if node.op_type == "GRU" and not graph.attribute(node, "linear_before_reset", 0):
        yield "the runtime resets after the product: export it with linear_before_reset=1 (Keras: reset_after=True)"
    if graph.attribute(node, "input_forget", 0):
        yield "the runtime does not tie the input gate to the forget gate (input_forget=1)"
    if graph.attribute(node, "clip") is not None:
        yield "the runtime does not clip gates"
    if graph.attribute(node, "layout", 0):
        yield "has the batch first: export it with layout=0"
    wanted = ACTIVATIONS[node.op_type] * (2 if both else 1)
    found = list(graph.attribute(node, "activations", wanted))
    if found != wanted:
        yield f"the runtime's activations are {', '.join(wanted)}, not {', '.join(found)}"
    yield from dict.fromkeys(what for place, what in INPUTS.items() if graph.input_at(node, place) is not None)
    if any(graph.constant(graph.input_at(node, place)) is None for place in (1, 2)):
        yield "its weights are not constant"
    if graph.input_at(node, 3) is not None and graph.constant(graph.input_at(node, 3)) is None:
        yield "its biases are not constant"
    length, batch = (graph.dims(node.inputs[0]) or (None, None))[:2]
    if not isinstance(length, int):
        yield "the length of its sequence is open: fix it (--input-shape)"
    if isinstance(batch, int) and batch != 1:
        yield f"a batch of {batch}, the runtime takes one sequence at a time: export the model with a batch of 1"


class Recurrence(Pattern):
    """GRU and LSTM, forwards or both ways; states begin at zero, the last ones are outputs like the sequence."""

    def pattern(self, op: Builder, x: Any, *parameters: Any) -> Any:
        return op.one_of(*ACTIVATIONS)(x, *parameters)

    def check(self, context: CheckContext, block: Block, **_: Any) -> bool:
        reasons = list(_reasons(block.nodes[0]))
        return not reasons or context.fail("; ".join(reasons))

    def derives(self, block: Block, name: str) -> bool:
        """The cell state has the scale of the gates."""
        return name in block.outputs[2:]

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        """What a state loses, every later step lacks: the range is what was seen."""
        if spec.observer == context.target.activation.observer:
            spec = replace(spec, observer="minmax", round_exponent="up")
        return super().output_spec(spec, block, context)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        node, source, out = block.nodes[0], context.params[block.inputs[0]], context.params[block.outputs[0]]
        weights = [_weight(block, context, name, place) for place, name in ((1, "weight"), (2, "recurrent"))]
        steps = [float(source.scale * weights[0][1].scale), float(out.scale * weights[1][1].scale)]
        exponent = _gate_exponent(block, context, [integers for integers, _ in weights], steps)
        gates = QuantParams(np.exp2(exponent), GATE)
        constants = {"weight": weights[0][0], "recurrent": weights[1][0], **_bias(block, context, gates)}
        shifts = [exponent - round(math.log2(step)) for step in steps]
        sizes = [integers.shape[-1] for integers, _ in weights]
        attributes = {
            "gate_exponent": exponent,
            "shifts": shifts,
            "vectors": in_vectors(context.target, source.dtype.bits, sizes, shifts),
            "rounding": str(context.target.rounding),
            "out_scale": float(out.scale),
            "low": out.dtype.low,
            "high": out.dtype.high,
        }
        outputs = _every_output(block, context, gates)
        return Layer(node.op_type, block.inputs, outputs, constants, attributes)


class Recurrent(OneWidth, Recurrence):
    """GRU and LSTM of one width, the cell state aside, which has 16 bits."""


def _weight(block: Block, context: Lowering, name: str, place: int) -> tuple[Ints, QuantParams]:
    """A matrix of weights on one scale; states it as ``LAYER/name``."""
    values = graph.constant(block.nodes[0].inputs[place])
    assert values is not None
    limit = np.abs(values.astype(np.float64)).max()
    params = from_range(replace(context.weight_spec(block), axis=None), Range(-limit, limit))
    context.params[f"{block.name}/{name}"] = params
    return params.quantize(values, context.target.rounding), params


def _float_bias(block: Block) -> NDArray[np.float64] | None:
    """[directions, input's and state's, gates], if there are biases."""
    node = block.nodes[0]
    values = graph.constant(graph.input_at(node, 3))
    return None if values is None else values.astype(np.float64).reshape(len(values), 2, -1)


def _bias(block: Block, context: Lowering, gates: QuantParams) -> dict[str, Ints]:
    """Biases as integers of the gates."""
    values = _float_bias(block)
    if values is None:
        return {}
    context.params[f"{block.name}/bias"] = gates
    return {"bias": gates.quantize(values.reshape(len(values), -1), context.target.rounding)}


def _gate_exponent(block: Block, context: Lowering, weights: Sequence[Ints], steps: Sequence[float]) -> int:
    """The finest at which no gate and no cell state overflows; a warning where none of ``GATE_EXPONENTS`` is so."""
    bits = context.params[block.inputs[0]].dtype.bits
    reach = [np.abs(each).sum(-1) * 2.0 ** (bits - 1) * step for each, step in zip(weights, steps, strict=True)]
    bias = _float_bias(block)
    sums = np.stack(reach, 1) + (0 if bias is None else np.abs(bias))
    limit = float((sums.sum(1) if block.nodes[0].op_type == "LSTM" else sums).max())
    cells = [context.ranges[name] for name in block.outputs[2:]]
    limit = max([limit, *(CELL_MARGIN * float(np.abs([seen.low, seen.high]).max()) for seen in cells)])
    for exponent in GATE_EXPONENTS:
        if limit < GATE.high * 2.0**exponent:
            return exponent
    context.warnings.append(
        f"layer {block.name!r}: its gates may reach {limit:.0f}, beyond which the runtime's 16 bits overflow silently"
    )
    return GATE_EXPONENTS[-1]


def _every_output(block: Block, context: Lowering, gates: QuantParams) -> tuple[str, ...]:
    """Names of the sequence and of the last states, which the runtime writes even where the float model has none."""
    names = list(block.outputs)
    _, *state = context.shape(names[0])
    for name in names[2:]:
        context.refine(name, gates)
    for kind in ("state", "cell")[len(names) - 1 : 1 if block.nodes[0].op_type == "GRU" else 2]:
        name = f"{block.name}_{kind}"
        context.params[name] = gates if kind == "cell" else context.params[names[0]]
        context.shapes[name] = tuple(state)
        names.append(name)
    return tuple(names)
