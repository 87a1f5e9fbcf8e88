"""What rewrites are made of: rules for single nodes, identity convolutions, and nodes put behind a value."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from quaint import graph

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.config import Config
    from quaint.graph import GraphEditor

#: Changes a node, and says what was wrong with it and what it is now; or None.
Rule = Callable[["GraphEditor", "Config", ir.Node], str | None]
Rewrite = Callable[["GraphEditor", "Config"], Iterator[str]]


def each(*op_types: str) -> Callable[[Rule], Rewrite]:
    """Make a rewrite of a rule for one node."""

    def make(rule: Rule) -> Rewrite:
        @functools.wraps(rule)
        def run(editor: GraphEditor, config: Config) -> Iterator[str]:
            for node in editor.nodes(*op_types):
                name, op_type = node.name, node.op_type
                changed = rule(editor, config, node)
                if changed:
                    yield f"rewrote {name} ({op_type}): {changed}"

        return run

    return make


def map_size(value: ir.Value | None) -> tuple[int, int, int] | None:
    """Channels, rows and columns of a feature map; None for anything else."""
    size = graph.dims(value) or ()
    known = tuple(n for n in size[1:] if isinstance(n, int))
    return (known[0], known[1], known[2]) if len(size) == 4 and len(known) == 3 else None


def set_lists(node: ir.Node, **lists: Sequence[int]) -> None:
    """Set attributes that are lists of integers."""
    for name, values in lists.items():
        node.attributes[name] = ir.AttrInt64s(name, list(values))


def window(kernel: int, stride: int, pads: Sequence[int]) -> dict[str, Any]:
    """Attributes of a square window."""
    return {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": list(pads), "dilations": [1, 1]}


def same_pads(sizes: Sequence[int], kernel: int, stride: int) -> list[int]:
    """Pads as in TensorFlow: the odd row at the end."""
    totals = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in sizes]
    return [*(t // 2 for t in totals), *(t - t // 2 for t in totals)]


def put_behind(
    editor: GraphEditor,
    value: ir.Value,
    op_type: str,
    constants: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Any],
    *,
    name: str,
    shape: Sequence[graph.Dim] | None = None,
    readers: Sequence[ir.Node] | None = None,
) -> ir.Value:
    """Put a node behind a value: it takes the value's name and readers over, or only some ``readers``; gives its output."""
    inputs = [value, *(editor.constant(array, f"{name}.{key}") for key, array in constants.items())]
    first = value.producer()
    assert first is not None
    made = editor.insert(op_type, inputs, attributes, before=first, name=name, like=value, shape=shape)
    node = made.producer()
    assert node is not None
    editor.graph.remove(node)
    editor.graph.insert_after(first, node)
    if readers is None:
        editor.replace(value, made)
        node.replace_input_with(0, value)
    for reader in readers or ():
        for index, read in enumerate(reader.inputs):
            if read is value:
                reader.replace_input_with(index, made)
    return made


def retype(
    editor: GraphEditor,
    node: ir.Node,
    op_type: str,
    x: ir.Value,
    constants: Mapping[str, NDArray[Any]],
    attributes: Mapping[str, Any],
) -> None:
    """Let a layer with constants compute the output of ``node`` from ``x``."""
    values = [editor.constant(array, f"{node.name}.{name}") for name, array in constants.items()]
    editor.retype(node, op_type, [x, *values], attributes)


def tap(channels: int, place: tuple[int, int] = (1, 1), weight: float = 1.0) -> dict[str, NDArray[np.float32]]:
    """Weight and bias of a depthwise 3x3 convolution that takes one pixel of its window."""
    kernel = np.zeros((channels, 1, 3, 3), np.float32)
    kernel[:, :, place[0], place[1]] = weight
    return {"weight": kernel, "bias": np.zeros(channels, np.float32)}


def identity(channels: int) -> dict[str, NDArray[np.float32]]:
    """Weight and bias of a 1x1 convolution that changes nothing."""
    return {
        "weight": np.eye(channels, dtype=np.float32)[:, :, None, None],
        "bias": np.zeros(channels, np.float32),
    }
