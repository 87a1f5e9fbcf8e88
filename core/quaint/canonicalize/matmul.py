"""Products of tensors in one form: a constant matrix on the right, no Einsum where a MatMul does it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from quaint.canonicalize.rule import each
from quaint.graph import Dim, GraphEditor, attribute, constant, dims

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

#: Two operands with a letter for each axis.
_EQUATION = re.compile(r"([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)")


@each("MatMul")
def unify_matmul(editor: GraphEditor, node: ir.Node) -> bool:
    """Write a product with one constant matrix with two-dimensional weights on the right.

    Requires: shapes. Ensures: a MatMul of more than two axes and one matrix has it on the right; where it was on the left,
    there is a Transpose on either side.
    """
    for index, value in enumerate(node.inputs):
        array, other = constant(value), dims(node.inputs[1 - index])
        if array is None or other is None or not 2 <= array.ndim <= len(other) or len(other) < 3:
            continue
        if array.ndim > 2 and array.size == array.shape[-1] * array.shape[-2]:
            editor.set_constant(node, index, array.reshape(array.shape[-2:]))
            return True
        if index == 0 and array.ndim == 2:
            _move_right(editor, node, other)
            return True
    return False


def _move_right(editor: GraphEditor, node: ir.Node, shape: Sequence[Dim]) -> None:
    """``C @ x`` as the transpose of ``x.T @ C.T``."""
    weight, source = node.inputs
    assert weight is not None
    assert source is not None
    perm = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
    turned = _transposed(editor, node, source, perm)
    product = editor.insert(
        "MatMul",
        [turned, weight],
        before=node,
        name=f"{node.name}/transposed",
        like=node.outputs[0],
        shape=[(dims(node.outputs[0]) or shape)[axis] for axis in perm],
    )
    made = product.producer()
    assert made is not None
    array = constant(weight)
    assert array is not None
    editor.set_constant(made, 1, array.T)
    editor.swap_names(node, made)
    editor.retype(node, "Transpose", [product], {"perm": perm})


def _transposed(editor: GraphEditor, node: ir.Node, value: ir.Value, perm: Sequence[int]) -> ir.Value:
    """``value`` with its axes in another order, in front of ``node``."""
    if list(perm) == sorted(perm):
        return value
    shape, name = dims(value), f"{node.name}/transpose"
    moved = None if shape is None else [shape[axis] for axis in perm]
    return editor.insert("Transpose", [value], {"perm": list(perm)}, before=node, name=name, like=value, shape=moved)


@each("Einsum")
def replace_einsum(editor: GraphEditor, node: ir.Node) -> bool:
    """Write a sum over one axis of two operands as MatMul between Transposes.

    Requires: nothing. Ensures: no Einsum with two operands, one axis that is summed over and one more axis of the right
    operand's own; further axes are either in both operands, or in the left one only and the right one has no others.
    """
    found = _EQUATION.fullmatch(str(attribute(node, "equation", "")).replace(" ", ""))
    if found is None or len(node.inputs) != 2 or any(value is None for value in node.inputs):
        return False
    left, right, out = found.groups()
    plan = _plan(left, right, out)
    if plan is None:
        return False
    operands = [
        _transposed(editor, node, value, [letters.index(letter) for letter in order])
        for value, letters, order in zip(node.inputs, (left, right), plan[:2], strict=True)
        if value is not None
    ]
    made = plan[2]
    shape = dims(node.outputs[0])
    product = editor.insert(
        "MatMul",
        operands,
        before=node,
        name=f"{node.name}/product",
        like=node.outputs[0],
        shape=None if shape is None else [shape[out.index(letter)] for letter in made],
    )
    if made == out:
        producer = product.producer()
        assert producer is not None
        editor.swap_names(node, producer)
        return editor.bypass(node, product)
    editor.retype(node, "Transpose", [product], {"perm": [made.index(letter) for letter in out]})
    return True


def _plan(left: str, right: str, out: str) -> tuple[str, str, str] | None:
    """The operands' axes as MatMul wants them, and those of the product; None where no MatMul does it."""
    if any(len(set(letters)) != len(letters) for letters in (left, right, out)):
        return None
    summed = [letter for letter in left if letter in right and letter not in out]
    batch = "".join(letter for letter in out if letter in left and letter in right)
    rows = "".join(letter for letter in out if letter in left and letter not in right)
    columns = "".join(letter for letter in out if letter in right and letter not in left)
    complete = set(left) | set(right) == set(out) | set(summed) and set(out) <= set(left) | set(right)
    single = len(rows) == 1 if batch else len(rows) >= 1
    if len(summed) != 1 or len(columns) != 1 or not single or not complete:
        return None
    return batch + rows + summed[0], batch + summed[0] + columns, batch + rows + columns
