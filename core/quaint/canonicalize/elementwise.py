"""Arithmetic of tensors: binary operators, constants second."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from quaint.canonicalize.rule import each
from quaint.graph import GraphEditor, attribute, constant, dims, input_at, rank

_COMMUTATIVE = ("Add", "Mul", "Max", "Min", "And", "Or", "Xor", "Equal", "BitwiseAnd", "BitwiseOr", "BitwiseXor")
#: Operators with an axis: its default, and the input (or output) whose rank a negative one counts from.
_AXIS_DEFAULTS = {
    "ArgMax": 0,
    "ArgMin": 0,
    "Concat": None,
    "Gather": 0,
    "GatherElements": 0,
    "Hardmax": -1,
    "LayerNormalization": -1,
    "LogSoftmax": -1,
    "LpNormalization": -1,
    "Softmax": -1,
    "Split": 0,
    "TopK": -1,
}


@each("Sum", "Max", "Min")
def split_variadic(editor: GraphEditor, node: ir.Node) -> bool:
    """Turn ``Sum`` into ``Add``, and operators of more than two operands into chains of binary ones.

    Ensures: no Sum; Max and Min have at most two operands.
    """
    operator = "Add" if node.op_type == "Sum" else node.op_type
    if len(node.inputs) < 2 or (operator == node.op_type and len(node.inputs) == 2):
        return False
    operands = [value for value in node.inputs if value is not None]
    result = operands[0]
    for operand in operands[1:-1]:
        shape = _broadcast(result, operand)
        result = editor.insert(
            operator, [result, operand], before=node, name=node.name, like=node.outputs[0], shape=shape
        )
    editor.retype(node, operator, [result, operands[-1]])
    return True


def _broadcast(left: ir.Value, right: ir.Value) -> list[int | str | None] | None:
    """The dimensions of a binary operator's result."""
    first, second = dims(left), dims(right)
    if first is None or second is None:
        return None
    length = max(len(first), len(second))
    padded = [(1,) * (length - len(shape)) + shape for shape in (first, second)]
    return [b if a == 1 else a for a, b in zip(*padded, strict=True)]


@each("Sub", "Div")
def unify_inverse(editor: GraphEditor, node: ir.Node) -> bool:
    """Turn ``Sub`` of a constant into ``Add`` and ``Div`` by powers of two into ``Mul``: both are exact.

    Ensures: no Sub of a float constant; Div by a float constant only where the reciprocal is not exact.
    """
    operand = constant(node.inputs[1])
    if operand is None or operand.dtype != np.float32 or constant(node.inputs[0]) is not None:
        return False
    if node.op_type == "Sub":
        inverse, operator = -operand, "Add"
    else:
        mantissa, exponent = np.frexp(operand)
        if not (np.isfinite(operand).all() and (np.abs(mantissa) == 0.5).all() and (np.abs(exponent) < 126).all()):
            return False
        inverse, operator = (1 / operand).astype(np.float32), "Mul"
    name = f"{node.inputs[1].name}/inverse" if node.inputs[1] else "inverse"
    editor.retype(node, operator, [node.inputs[0], editor.constant(inverse, name)])
    return True


def order_operands(editor: GraphEditor) -> bool:
    """Put the constant operand of a commutative operator second, else the tensor that is computed first, first.

    Requires: sorted nodes. Ensures: one order, whatever the source's.
    """
    position: dict[ir.Value | None, int] = {value: i for i, value in enumerate(editor.graph.inputs)}
    changed = False
    for node in editor.graph:
        for value in node.outputs:
            position[value] = len(position)
        if node.domain or node.op_type not in _COMMUTATIVE or len(node.inputs) != 2:
            continue
        first, second = node.inputs
        late = len(position) + 1
        if position.get(second, late) < position.get(first, late):
            node.replace_input_with(0, second)
            node.replace_input_with(1, first)
            changed = True
    return changed


@each(*_AXIS_DEFAULTS)
def unify_axes(_editor: GraphEditor, node: ir.Node) -> bool:
    """Write every ``axis`` attribute out.

    Requires: ranks. Ensures: ``axis`` is present and not negative.
    """
    length, axis = rank(node.inputs[0]), attribute(node, "axis", _AXIS_DEFAULTS[node.op_type])
    if length is None or axis is None or (axis >= 0 and "axis" in node.attributes):
        return False
    node.attributes["axis"] = ir.AttrInt64("axis", axis % length)
    return True


@each("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare")
def unify_reduce(editor: GraphEditor, node: ir.Node) -> bool:
    """Write the axes of a reduction out.

    Requires: ranks. Ensures: constant axes, sorted and not negative, and ``keepdims`` are present.
    """
    length, given = rank(node.inputs[0]), constant(input_at(node, 1))
    if length is None or (given is None and input_at(node, 1) is not None):
        return False
    if given is None or not given.size:
        if attribute(node, "noop_with_empty_axes", 0):
            return False
        axes = list(range(length))
    else:
        axes = sorted(int(axis) % length for axis in given.reshape(-1))
    if given is not None and given.tolist() == axes and "keepdims" in node.attributes:
        return False
    node.attributes["keepdims"] = ir.AttrInt64("keepdims", attribute(node, "keepdims", 1))
    node.attributes.pop("noop_with_empty_axes", None)
    if len(node.inputs) < 2:
        node.resize_inputs(2)
    node.replace_input_with(1, editor.constant(np.array(axes, np.int64), f"{node.name}.axes"))
    return True
