"""The same float function in operators that the runtime registers, where it does not register the given one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from quaint import graph

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from quaint.config import Config
    from quaint.graph import GraphEditor


def extremes(editor: GraphEditor, _config: Config) -> Iterator[str]:
    """``max(x, y) = relu(x - y) + y`` and ``min(x, y) = x - relu(x - y)``; with one number it is a Clip already."""
    for node in editor.nodes("Max", "Min"):
        operator, name, (x, y), out = node.op_type, node.name, node.inputs, node.outputs[0]
        bound = graph.constant(y)
        if x is None or y is None or out.dtype is not ir.DataType.FLOAT:
            continue
        if bound is not None and not np.isfinite(bound).all():
            continue
        taken, minus = ("Sub", y) if bound is None else ("Add", editor.constant(-bound, f"{name}.negated"))
        difference = editor.insert(taken, [x, minus], before=node, name=f"{name}/difference", like=out)
        excess = editor.insert("Relu", [difference], before=node, name=f"{name}/excess", like=out)
        last, operands = ("Add", [excess, y]) if operator == "Max" else ("Sub", [x, excess])
        editor.retype(node, last, operands)
        yield f"rewrote {name} ({operator}): ESP-DL registers none; {taken}, Relu and {last} give the same"


def norms(editor: GraphEditor, _config: Config) -> Iterator[str]:
    """Instance and group normalization: each channel or group normalized as a row, then a factor and a term a channel."""
    for node in editor.nodes("InstanceNormalization", "GroupNormalization"):
        operator, name = node.op_type, node.name
        made = _by_rows(editor, node)
        if made is None:
            continue
        last = made.producer()
        assert last is not None
        editor.swap_names(last, node)
        editor.replace(node.outputs[0], made)
        editor.erase(node)
        yield f"rewrote {name} ({operator}): ESP-DL registers none; LayerNormalization of rows gives the same"


def _by_rows(editor: GraphEditor, node: ir.Node) -> ir.Value | None:
    """What equals the node's output; None where its parameters are computed or sizes are not known."""
    x, name = node.inputs[0], node.name
    batch, *sizes = graph.dims(x) or (None,)
    weight, bias = (graph.constant(value) for value in node.inputs[1:])
    known = [size for size in sizes if isinstance(size, int)]
    if x is None or weight is None or bias is None or not sizes or len(known) < len(sizes):
        return None

    def add(op_type: str, value: ir.Value, array: NDArray[Any], shape: Sequence[int], **attributes: Any) -> ir.Value:
        operand, part = editor.constant(array, f"{name}.{op_type.lower()}"), f"{name}/{op_type.lower()}"
        sizes = [batch, *shape]
        return editor.insert(op_type, [value, operand], attributes, before=node, name=part, like=x, shape=sizes)

    def reshaped(value: ir.Value, *shape: int) -> ir.Value:
        same = graph.dims(value) == (batch, *shape)
        return value if same else add("Reshape", value, np.array([0, *shape], np.int64), shape)

    groups = graph.attribute(node, "num_groups", known[0])
    size = groups, math.prod(known) // groups
    epsilon = graph.attribute(node, "epsilon", 1e-5)
    ones = np.ones(size[1], np.float32)
    normed = add("LayerNormalization", reshaped(x, *size), ones, size, axis=2, epsilon=epsilon)
    result, each = reshaped(normed, *known), [-1, *[1] * (len(known) - 1)]
    if (weight != 1).any():
        result = add("Mul", result, weight.reshape(each), known)
    return add("Add", result, bias.reshape(each), known) if bias.any() else result


def read_probabilities(editor: GraphEditor, _config: Config) -> Iterator[str]:
    """A Softmax that leaves the model and is read on as well: the runtime's gives floats, which a copy quantizes again."""
    for node in editor.nodes("Softmax", "LogSoftmax"):
        x, out = node.inputs[0], node.outputs[0]
        if x is None or x.is_graph_input() or not out.is_graph_output() or not out.uses():
            continue
        name, given = f"{node.name}/copy", {"axis": graph.attribute(node, "axis", -1)}
        made = editor.insert(node.op_type, [x], given, before=node, name=name, like=out)
        for reader, index in tuple(out.uses()):
            reader.replace_input_with(index, made)
        copy = made.producer()
        assert copy is not None
        editor.swap_names(copy, node)  # the layer on the chip keeps the name under which it has wishes
        yield f"rewrote {copy.name} ({node.op_type}): read on the chip and an output of the model; the output comes from a copy"


REWRITES = (extremes, norms, read_probabilities)
