"""Channel-last exports: transposes move towards the outputs and cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from quaint.canonicalize.reshapes import moves_only_ones, reshape_target
from quaint.canonicalize.rule import each
from quaint.graph import Dim, GraphEditor, attribute, constant, dims, input_at, is_op, producer, rank, sole_consumer

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNARY = [
    *("Abs", "Celu", "Ceil", "Clip", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish"),
    *("LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin"),
    *("Softplus", "Softsign", "Sqrt", "Tanh", "ThresholdedRelu"),
]
_BROADCAST = ["Add", "Div", "Max", "Min", "Mul", "PRelu", "Pow", "Sub"]
_ALONG_AXIS = ["LogSoftmax", "Softmax"]
_REDUCE = ["ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"]
#: How far to look for the place where the branches behind a Transpose meet.
_MAX_PATH = 8
_MOVABLE = (*_UNARY, *_BROADCAST, *_ALONG_AXIS, *_REDUCE, "Concat", "Pad")


def permutation(node: ir.Node | None) -> tuple[int, ...] | None:
    """The ``perm`` of a Transpose, or None for any other node."""
    if node is None or not is_op(node, "Transpose"):
        return None
    length = rank(node.inputs[0])
    perm = attribute(node, "perm", None if length is None else tuple(reversed(range(length))))
    return None if perm is None else tuple(perm)


def _inverse(perm: Sequence[int]) -> list[int]:
    return [list(perm).index(axis) for axis in range(len(perm))]


@each("Transpose")
def merge_transposes(editor: GraphEditor, node: ir.Node) -> bool:
    """Let a Transpose of a Transpose read what the first one reads.

    Ensures: no Transpose reads a Transpose; inverse pairs are gone.
    """
    inner = producer(node.inputs[0], "Transpose")
    first, second = permutation(inner), permutation(node)
    if inner is None or first is None or second is None or inner.inputs[0] is None:
        return False
    perm = [first[axis] for axis in second]
    if perm == sorted(perm):
        return editor.bypass(node, inner.inputs[0])
    editor.retype(node, "Transpose", [inner.inputs[0]], {"perm": perm})
    return True


@each(*_MOVABLE)
def sink_transposes(editor: GraphEditor, node: ir.Node) -> bool:
    """Move transposes from the inputs of an operator to its output, where that needs no more of them.

    Requires: shapes; reductions with constant axes; merged transposes. Ensures: transposes stand as late as the
    operators in between allow (elementwise and broadcasting ones, Softmax, reductions, Concat, Pad), so that inverse
    ones meet and activations stay next to their producers. A Transpose of a graph input moves only to cancel.
    """
    transposes = [found for value in _tensors(node) if (found := producer(value, "Transpose")) is not None]
    perm = permutation(transposes[0]) if transposes else None
    if perm is None or len(node.outputs) > 1 or not _saves(node, transposes, perm):
        return False
    moved = _moved_attributes(node, perm)
    sources = None if moved is None else _untransposed(editor, node, perm)
    if moved is None or sources is None:
        return False
    _rebuild(editor, node, transposes[0], sources, perm, moved)
    return True


def _tensors(node: ir.Node) -> list[ir.Value]:
    """The inputs of ``node`` that its axes refer to (not bounds, axes or amounts of padding)."""
    broadcasts = is_op(node, *_BROADCAST, "Concat")
    return [value for value in (node.inputs if broadcasts else node.inputs[:1]) if value is not None]


def _result_perm(node: ir.Node, perm: Sequence[int]) -> list[int]:
    """How the output has to be transposed afterwards: a reduction drops some of the axes."""
    if not is_op(node, *_REDUCE) or attribute(node, "keepdims", 1):
        return list(perm)
    axes = constant(input_at(node, 1))
    reduced = set() if axes is None else {int(axis) % len(perm) for axis in axes.reshape(-1)}
    kept = [source for place, source in enumerate(perm) if place not in reduced]
    return [sorted(kept).index(source) for source in kept]


def _saves(node: ir.Node, transposes: Sequence[ir.Node], perm: Sequence[int]) -> bool:
    """Whether at least as many transposes go as come; one that equals a Reshape costs nothing."""
    shape = dims(node.outputs[0])
    result = _result_perm(node, perm)
    if shape is None or len(shape) != len(result) or any(permutation(other) != tuple(perm) for other in transposes):
        return False
    free = moves_only_ones([shape[result.index(axis)] for axis in range(len(result))], result)
    gone = [other for other in dict.fromkeys(transposes) if set(other.outputs[0].consumers()) == {node}]
    gone = [other for other in gone if not other.outputs[0].is_graph_output()]
    if free or len(gone) > 1:
        return True
    if not gone:
        return _meets(transposes[0])
    source = gone[0].inputs[0]
    return source is not None and not source.is_graph_input()


def _meets(transpose: ir.Node) -> bool:
    """Whether all that is made of the transposed tensor meets again, as in x * sigmoid(x), and takes one out there."""
    if transpose.outputs[0].is_graph_output():
        return False
    paths = [_path(reader) for reader in transpose.outputs[0].consumers()]
    return bool(set.intersection(*paths))


def _path(node: ir.Node | None) -> set[ir.Node]:
    """``node`` and the movable operators behind it up to the next fork."""
    path = set[ir.Node]()
    while node is not None and is_op(node, *_MOVABLE) and len(path) < _MAX_PATH:
        path.add(node)
        node = sole_consumer(node.outputs[0])
    return path


def _moved_attributes(node: ir.Node, perm: Sequence[int]) -> dict[str, ir.Attr] | None:
    """The attributes in terms of the axes before the transposition, or None if they cannot be told."""
    attributes = dict(node.attributes)
    axis = attribute(node, "axis")
    if is_op(node, "Concat", *_ALONG_AXIS):
        attributes["axis"] = ir.AttrInt64("axis", perm[(-1 if axis is None else axis) % len(perm)])
    if is_op(node, *_REDUCE, "Pad") and constant(input_at(node, 1)) is None:
        return None
    return None if is_op(node, "Pad") and input_at(node, 3) is not None else attributes


def _untransposed(editor: GraphEditor, node: ir.Node, perm: Sequence[int]) -> list[ir.Value | None] | None:
    """The inputs for the operator in front of the transposition; None if one of them has no such form."""
    tensors = _tensors(node)
    shapes = [dims(value) for value in tensors]
    for value, shape in zip(tensors, shapes, strict=True):
        if shape is None or None in shape:
            return None
        turned = permutation(value.producer()) == tuple(perm)
        if not (turned or constant(value) is not None or _reshapable(shape, perm)):
            return None
    sources: list[ir.Value | None] = [_source(editor, node, value, perm) for value in tensors]
    return sources + _arguments(editor, node, perm)


def _reshapable(shape: Sequence[Dim], perm: Sequence[int]) -> bool:
    return len(shape) == len(perm) and moves_only_ones(shape, _inverse(perm))


def _source(editor: GraphEditor, node: ir.Node, value: ir.Value, perm: Sequence[int]) -> ir.Value:
    """``value`` with its axes as they were before the transposition."""
    transpose, array, shape = value.producer(), constant(value), dims(value)
    if permutation(transpose) == tuple(perm) and transpose is not None and transpose.inputs[0] is not None:
        return transpose.inputs[0]
    assert shape is not None
    if array is not None:
        if array.size == 1 and array.ndim <= len(perm):
            return value
        full = array.reshape((1,) * (len(perm) - array.ndim) + array.shape)
        return editor.constant(full.transpose(_inverse(perm)), value.name or "constant")
    before = [shape[perm.index(axis)] for axis in range(len(perm))]
    target = editor.constant(np.array(reshape_target(shape, before), np.int64), f"{value.name}/shape")
    return editor.insert("Reshape", [value, target], before=node, name=f"{value.name}/axes", like=value, shape=before)


def _arguments(editor: GraphEditor, node: ir.Node, perm: Sequence[int]) -> list[ir.Value | None]:
    """The other inputs: axes and amounts of padding in the new order, bounds as they are."""
    if is_op(node, *_BROADCAST, "Concat"):
        return []
    array = constant(input_at(node, 1))
    if is_op(node, *_REDUCE) and array is not None:
        axes = sorted(perm[int(axis)] for axis in array.reshape(-1))
        return [editor.constant(np.array(axes, np.int64), f"{node.name}.axes")]
    if is_op(node, "Pad") and array is not None:
        pads = array.reshape(2, -1)[:, _inverse(perm)].reshape(-1)
        return [editor.constant(pads, f"{node.name}.pads"), *node.inputs[2:]]
    return list(node.inputs[1:])


def _rebuild(
    editor: GraphEditor,
    node: ir.Node,
    transpose: ir.Node,
    sources: Sequence[ir.Value | None],
    perm: Sequence[int],
    attributes: dict[str, ir.Attr],
) -> None:
    """Put the operator in front of the transposition."""
    output, result = node.outputs[0], _result_perm(node, perm)
    shape = dims(output)
    assert shape is not None
    before = [shape[result.index(axis)] for axis in range(len(result))]
    name = f"{output.name}/transposed"
    moved = editor.insert(node.op_type, sources, attributes, before=node, name=name, like=output, shape=before)
    operator = moved.producer()
    assert operator is not None
    editor.swap_names(node, operator)
    freed = set(transpose.outputs[0].consumers()) <= {node}
    new = editor.retype(node, "Transpose", [moved], {"perm": result})
    new.name = transpose.name if freed else editor.node_name(transpose.name)


@each("Gemm")
def absorb_transposes(editor: GraphEditor, node: ir.Node) -> bool:
    """Permute the weights of a Gemm instead of the feature map that is flattened in front of it.

    Requires: Gemm unified, reshapes unified. Ensures: no Transpose that keeps the batch feeds Flatten and Gemm alone.
    """
    flatten = producer(node.inputs[0], "Flatten")
    transpose = None if flatten is None else producer(flatten.inputs[0], "Transpose")
    perm, weight = permutation(transpose), constant(node.inputs[1])
    if flatten is None or transpose is None or perm is None or weight is None or perm[0] != 0:
        return False
    alone = sole_consumer(flatten.outputs[0]) is node and sole_consumer(transpose.outputs[0]) is flatten
    extents = [dim for dim in (dims(flatten.inputs[0]) or ())[1:] if isinstance(dim, int)]
    if not alone or len(extents) != len(perm) - 1 or not attribute(node, "transB", 0) or attribute(node, "transA", 0):
        return False
    turned = weight.reshape(-1, *extents).transpose(_inverse(perm)).reshape(weight.shape)
    editor.set_constant(node, 1, turned)
    flatten.replace_input_with(0, transpose.inputs[0])
    editor.erase(transpose)
    return True
