"""Maps of another size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from quaint import graph
from quaint.floatmodel import FloatModel
from quaint.layers.selection import Selecting, parameter, sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.patterns import Block, Builder, CheckContext


class ResizeNearest(Selecting):
    """The nearest entry, whatever nearest means: the float operator itself is asked which one that is."""

    def pattern(self, op: Builder, x: Any, *parameters: Any) -> Any:
        return op.Resize(x, *parameters)

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        node = block.nodes[0]
        if graph.attribute(node, "mode", "nearest") != "nearest":
            return context.fail(f"resizes by {graph.attribute(node, 'mode')} interpolation")
        if graph.attribute(node, "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
            return context.fail("crops and resizes in one")
        if graph.attribute(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
            return context.fail("keeps the aspect ratio")
        return super().check(context, block, **bindings)

    def indices(self, block: Block) -> dict[int, Sequence[int]]:
        node, before = block.nodes[0], sizes(block)
        axes = graph.attribute(node, "axes", tuple(range(len(before))))
        scales, wanted = parameter(block, 2), parameter(block, 3)
        chosen: dict[int, Sequence[int]] = {}
        for place, axis in enumerate(axes):
            same = scales[place] == 1 if wanted is None and scales is not None else before[axis] == _size(node, axis)
            if not same:
                chosen[axis] = _nearest(node, before[axis], place, axis)
        return chosen


def _size(node: ir.Node, axis: int) -> Any:
    return (graph.dims(node.outputs[0]) or ())[axis]


def _nearest(node: ir.Node, size: int, place: int, axis: int) -> list[int]:
    """Which entry each one of the result is: what the operator makes of the entries' numbers, exact up to 2**24 of them."""
    x = ir.val("x", ir.DataType.FLOAT, (1, size))
    given = [graph.constant(graph.input_at(node, index)) for index in (2, 3)]
    one = [
        None if values is None or not values.size else np.stack([np.ones_like(values[0]), values[place]])
        for values in given
    ]
    constants = [
        None if values is None else ir.val(name, const_value=ir.tensor(values, name=name))
        for name, values in zip(("scales", "sizes"), one, strict=True)
    ]
    attributes = [attribute for name, attribute in node.attributes.items() if name != "axes"]
    resize = ir.Node("", "Resize", [x, None, *constants], attributes)
    resize.outputs[0].name, resize.outputs[0].type = "y", ir.TensorType(ir.DataType.FLOAT)
    held = [value for value in constants if value is not None]
    inner = ir.Graph([x], resize.outputs, nodes=[resize], initializers=held, opset_imports={"": 21}, name="resize")
    made = FloatModel(ir.Model(inner, ir_version=10), threads=1).run({"x": np.arange(size, dtype=np.float32)[None]})
    indices: list[int] = made["y"][0].astype(int).tolist()
    assert len(indices) == _size(node, axis)
    return indices
