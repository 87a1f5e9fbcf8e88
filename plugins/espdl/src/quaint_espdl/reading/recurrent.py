"""Recurrent layers of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quaint_espdl.file.elements import DataType
from quaint_espdl.patterns.recurrent import in_vectors
from quaint_espdl.reading.view import Node, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from quaint.integer import Layer
    from quaint_espdl.reading.view import Edge

#: Where a node names no exponent of its gates.
GATE_EXPONENT = -8


def _check(node: Node) -> None:
    """Refuse what the runtime refuses, or runs as if it were something else."""
    given, x = node.attributes, node.input(0)
    if x.is_real:
        raise Unsupported("a recurrent layer of floats")
    if given.get("direction", "forward") == "reverse":
        raise Unsupported("runs backwards only, which the runtime takes for forwards")
    if node.op_type == "GRU" and not given.get("linear_before_reset", 0):
        raise Unsupported("a GRU that resets before its product (linear_before_reset is 0)")
    if given.get("input_forget", 0):
        raise Unsupported("an input gate that is tied to the forget gate (input_forget is 1)")
    if node.optional(4) is not None:
        raise Unsupported("sequences of different lengths")
    batch = x.dims[0 if given.get("layout", 0) else 1]
    if batch != 1:
        raise Unsupported(f"a batch of {batch}")


def _initial(node: Node, count: int) -> tuple[list[Edge], dict[str, Any]]:
    """The states before the first step: variables, or constants."""
    given = {name: node.optional(index) for name, index in (("initial_h", 5), ("initial_c", 6))}
    states = {name: edge for name, edge in list(given.items())[:count] if edge is not None}
    variables = [edge for edge in states.values() if edge.tensor is None]
    if variables and len(variables) < count:
        raise Unsupported("one of its two initial states is computed")
    sizes = [-1, 1, node.attributes["hidden_size"]]
    return variables, {name: edge.array.reshape(sizes) for name, edge in states.items() if edge.tensor is not None}


def recurrent(node: Node) -> Layer:
    """GRU or LSTM; every call begins with the same states."""
    _check(node)
    x, weight, recurrent_weight, bias = *(node.input(index) for index in range(3)), node.optional(3)
    count = {"GRU": 1, "LSTM": 2}[node.op_type]
    gate_exponent = node.attributes.get("gate_exponent", GATE_EXPONENT)
    whole, state, *cell = node.outputs
    if len(node.outputs) != count + 1 or whole.dtype is not state.dtype:
        raise Unsupported("outputs that the runtime does not write")
    if any(edge.dtype is not DataType.INT16 or edge.exponent != gate_exponent for edge in cell):
        raise Unsupported("a cell state of another width or exponent than the gates")
    if bias is not None and bias.dtype is not DataType.INT16:
        raise Unsupported(f"biases of {bias.dtype.name}")
    variables, constants = _initial(node, count)
    constants |= {"weight": weight.array, "recurrent": recurrent_weight.array}
    constants |= {} if bias is None else {"bias": bias.array}
    shifts = [
        gate_exponent - (x.exponent + weight.exponent),
        gate_exponent - (state.exponent + recurrent_weight.exponent),
    ]
    attributes = {
        "gate_exponent": gate_exponent,
        "shifts": shifts,
        "vectors": in_vectors(node.chip.target, x.integers.bits, (weight.dims[-1], recurrent_weight.dims[-1]), shifts),
        "rounding": str(node.chip.rounding),
        "out_scale": whole.scale,
        **node.limits(),
        "shapes": [list(edge.dims) for edge in node.outputs],
    }
    return node.layer(node.op_type, x, *variables, **constants, **attributes)


RECURRENT: dict[str, Callable[[Node], Layer]] = dict.fromkeys(("GRU", "LSTM"), recurrent)
