"""For every operator, where the batch axis of its inputs comes out, if its samples stay independent.

A rule gets the node, the batch axis of each input (None: the input has no batch) and the size of the batch, and returns
the batch axis of each output, or None if the operator mixes samples or nothing is known about it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import onnx_ir as ir

from quaint.graph import Dim, attribute, constant, dims, input_at, is_op, rank

Axes = Sequence[int | None]
Size = Dim
Rule = Callable[[ir.Node, Axes, Size], int | None]
_END = 2**31 - 1


def output_axes(node: ir.Node, axes: Axes, size: Size) -> list[int] | None:
    """The batch axis of every output of ``node``, or None."""
    rule = _RULES.get(node.op_type) if node.domain == "" else None
    if node.op_type in _RECURRENT and node.domain == "":
        return _recurrent(node, axes)
    axis = None if rule is None else rule(node, axes, size)
    return None if axis is None else [axis] * len(node.outputs)


def is_reshape(node: ir.Node) -> bool:
    """Whether ``node`` only gives the same sequence of elements another shape."""
    return is_op(node, "Reshape", "Flatten", "Squeeze", "Unsqueeze")


def _elementwise(node: ir.Node, axes: Axes, _size: Size) -> int | None:
    """Broadcasting: the batch axes of all operands coincide counted from the right; others have extent 1 there."""
    places = set()
    for value, axis in zip(node.inputs, axes, strict=True):
        shape = dims(value)
        if shape is None and value is not None:
            return None
        if axis is not None and shape is not None:
            places.add(axis - len(shape))
    if len(places) != 1:
        return None
    place = places.pop()
    for value, axis in zip(node.inputs, axes, strict=True):
        shape = dims(value)
        if axis is None and shape is not None and len(shape) >= -place and shape[place] != 1:
            return None
    result = rank(node.outputs[0])
    return None if result is None else result + place


def _per_sample(_node: ir.Node, axes: Axes, _size: Size) -> int | None:
    """Convolutions, pooling, normalization: samples along axis 0 of the first input, parameters without a batch."""
    return 0 if axes[0] == 0 and all(axis is None for axis in axes[1:]) else None


def _resize(node: ir.Node, axes: Axes, size: Size) -> int | None:
    """As ``_per_sample``, if the batch is not resized."""
    if attribute(node, "axes") is not None:
        return None if 0 in attribute(node, "axes") else _per_sample(node, axes, size)
    scales, sizes = constant(input_at(node, 2)), constant(input_at(node, 3))
    kept = scales is not None and scales.size and scales[0] == 1 and sizes is None
    return _per_sample(node, axes, size) if kept else None


def _first_input_axis(node: ir.Node, axes: Axes) -> int | None:
    """The batch axis of the first input, if no other input has a batch."""
    return axes[0] if all(axis is None for axis in axes[1:]) and rank(node.inputs[0]) is not None else None


def _along(default: int) -> Rule:
    """Operators that work along ``axis`` only: not along the batch."""

    def rule(node: ir.Node, axes: Axes, _size: Size) -> int | None:
        axis, length = _first_input_axis(node, axes), rank(node.inputs[0])
        if axis is None or length is None or attribute(node, "axis", default) % length == axis:
            return None
        dropped = is_op(node, "ArgMax", "ArgMin") and not attribute(node, "keepdims", 1)
        return axis - 1 if dropped and attribute(node, "axis", default) % length < axis else axis

    return rule


def _concat(node: ir.Node, axes: Axes, _size: Size) -> int | None:
    length = rank(node.inputs[0])
    if length is None or len(set(axes)) != 1 or attribute(node, "axis", 0) % length == axes[0]:
        return None
    return axes[0]


def _layer_norm(node: ir.Node, axes: Axes, _size: Size) -> int | None:
    axis, length = _first_input_axis(node, axes), rank(node.inputs[0])
    return axis if axis is not None and length and axis < attribute(node, "axis", -1) % length else None


def _reduce(node: ir.Node, axes: Axes, _size: Size) -> int | None:
    axis, length = _first_input_axis(node, axes), rank(node.inputs[0])
    given = constant(input_at(node, 1))
    if axis is None or length is None:
        return None
    if given is None or not given.size:
        return axis if attribute(node, "noop_with_empty_axes", 0) and input_at(node, 1) is None else None
    reduced = {int(entry) % length for entry in given.reshape(-1)}
    if axis in reduced:
        return None
    return axis if attribute(node, "keepdims", 1) else axis - sum(entry < axis for entry in reduced)


def _slice(node: ir.Node, axes: Axes, _size: Size) -> int | None:
    axis, length = _first_input_axis(node, axes), rank(node.inputs[0])
    starts, ends = constant(input_at(node, 1)), constant(input_at(node, 2))
    if axis is None or length is None or starts is None or ends is None:
        return None
    given, steps = constant(input_at(node, 3)), constant(input_at(node, 4))
    where = range(len(starts)) if given is None else [int(entry) % length for entry in given]
    for i, sliced in enumerate(where):
        whole = starts[i] == 0 and ends[i] >= _END and (steps is None or steps[i] == 1)
        if sliced == axis and not whole:
            return None
    return axis


def _pad(node: ir.Node, axes: Axes, _size: Size) -> int | None:
    axis, length = _first_input_axis(node, axes), rank(node.inputs[0])
    pads, given = constant(input_at(node, 1)), constant(input_at(node, 3))
    if axis is None or length is None or pads is None:
        return None
    where = list(range(length)) if given is None else [int(entry) % length for entry in given]
    padded = {place for i, place in enumerate(where) if pads[i] or pads[i + len(where)]}
    return None if axis in padded else axis


def _gather(node: ir.Node, axes: Axes, _size: Size) -> int | None:
    data, indices = rank(node.inputs[0]), rank(node.inputs[1])
    if data is None or indices is None:
        return None
    along = attribute(node, "axis", 0) % data
    if axes[0] is None:
        return None if axes[1] is None else along + axes[1]
    if axes[1] is not None or along == axes[0]:
        return None
    return axes[0] if axes[0] < along else axes[0] - 1 + indices


def _transpose(node: ir.Node, axes: Axes, _size: Size) -> int | None:
    length = rank(node.inputs[0])
    if axes[0] is None or length is None:
        return None
    return list(attribute(node, "perm", tuple(reversed(range(length))))).index(axes[0])


def _reshape(node: ir.Node, axes: Axes, size: Size) -> int | None:
    """The batch stays an axis of its own, with as many elements in front of it as before."""
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    axis = _first_input_axis(node, axes)
    if axis is None or before is None or after is None:
        return None
    front = before[:axis]
    for place, dim in enumerate(after):
        if dim == size and _product(after[:place]) == _product(front) is not None:
            return place
    return None


def _product(extents: Sequence[Dim]) -> int | None:
    numbers = [dim for dim in extents if isinstance(dim, int)]
    return math.prod(numbers) if len(numbers) == len(extents) else None


def _expand(node: ir.Node, axes: Axes, size: Size) -> int | None:
    """The batch is not expanded; the target names it as 1 (or as the static batch, which ``unify_expand`` mends)."""
    before, after = dims(node.inputs[0]), dims(node.outputs[0])
    axis = _first_input_axis(node, axes)
    if axis is None or before is None or after is None or constant(node.inputs[1]) is None:
        return None
    place = axis - len(before) + len(after)
    return place if after[place] == size else None


def _tile(node: ir.Node, axes: Axes, _size: Size) -> int | None:
    repeats, axis = constant(input_at(node, 1)), _first_input_axis(node, axes)
    return axis if axis is not None and repeats is not None and repeats[axis] == 1 else None


def _matmul(node: ir.Node, axes: Axes, _size: Size) -> int | None:
    left, right, result = dims(node.inputs[0]), dims(node.inputs[1]), rank(node.outputs[0])
    if left is None or right is None or result is None or min(len(left), len(right)) < 2:
        return None
    if axes[1] is None and axes[0] == len(left) - 2:
        return result - 2 if len(right) == 2 else None
    places = {axis - len(shape) for axis, shape in zip(axes, (left, right), strict=True) if axis is not None}
    if len(places) != 1 or max(places) > -3:
        return None
    place = places.pop()
    free = [shape for axis, shape in zip(axes, (left, right), strict=True) if axis is None]
    return None if any(len(shape) >= -place and shape[place] != 1 for shape in free) else result + place


def _gemm(node: ir.Node, axes: Axes, _size: Size) -> int | None:
    bias = dims(input_at(node, 2))
    aligned = bias is None or len(bias) < 2 or (axes[2] == 0 if axes[2] is not None else bias[0] == 1)
    if axes[0] != 0 or axes[1] is not None or attribute(node, "transA", 0) or not aligned:
        return None
    return 0 if len(axes) < 3 or axes[2] in (None, 0) else None


def _trilu(node: ir.Node, axes: Axes, _size: Size) -> int | None:
    axis, length = _first_input_axis(node, axes), rank(node.inputs[0])
    return axis if axis is not None and length and axis < length - 2 else None


def _recurrent(node: ir.Node, axes: Axes) -> list[int] | None:
    """GRU, LSTM, RNN: [time, batch, ...] in; [time, directions, batch, ...] and [directions, batch, ...] out."""
    states = [axes[i] for i in range(5, min(len(axes), 7))]
    given = [node.inputs[i] is None for i in range(5, min(len(axes), 7))]
    if attribute(node, "layout", 0) or axes[0] != 1 or any(axis is not None for axis in (*axes[1:5], *axes[7:])):
        return None
    if any(axis != 1 and not absent for axis, absent in zip(states, given, strict=True)):
        return None
    return [2, 1, 1][: len(node.outputs)]


_RECURRENT = frozenset({"GRU", "LSTM", "RNN"})
_ELEMENTWISE = (
    "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast Ceil Celu Clip "
    "Cos Cosh Div Dropout Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN "
    "LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu Round Selu Shrink "
    "Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Tan Tanh ThresholdedRelu Where Xor"
)
_PER_SAMPLE = (
    "AveragePool BatchNormalization Conv ConvTranspose DepthToSpace GlobalAveragePool GlobalLpPool GlobalMaxPool "
    "GroupNormalization InstanceNormalization LRN LpPool MaxPool SpaceToDepth"
)
_REDUCE = (
    "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare"
)
_RULES: dict[str, Rule] = (
    dict.fromkeys(_ELEMENTWISE.split(), _elementwise)
    | dict.fromkeys(_PER_SAMPLE.split(), _per_sample)
    | dict.fromkeys(_REDUCE.split(), _reduce)
    | dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax", "LpNormalization", "TopK"), _along(-1))
    | dict.fromkeys(("Split", "ArgMax", "ArgMin"), _along(0))
    | dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape)
    | {
        "Concat": _concat,
        "Expand": _expand,
        "Gather": _gather,
        "Gemm": _gemm,
        "LayerNormalization": _layer_norm,
        "MatMul": _matmul,
        "Pad": _pad,
        "Resize": _resize,
        "Slice": _slice,
        "Tile": _tile,
        "Transpose": _transpose,
        "Trilu": _trilu,
    }
)
