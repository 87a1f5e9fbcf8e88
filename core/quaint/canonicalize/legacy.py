"""What onnx's version converter (1.21 to 1.23) gets wrong without a word, mended by hand.

Found by running every operator with an adapter before and after conversion (``tests/canonicalize/test_prepare.py``):

* Upsample and Resize before opset 11 are asymmetric; converted, they fall back on the newer default, half_pixel.
* Hardmax before opset 13 works on a matrix, flattened at its axis; converted, it works along the axis.
* GroupNormalization before opset 21 has one scale and bias per group; converted, they are taken as one per channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from quaint.canonicalize.shapes import infer_shapes
from quaint.errors import QuaintError
from quaint.graph import GraphEditor, attribute, constant, dims, input_at, rank

if TYPE_CHECKING:
    from collections.abc import Collection


def prepare_conversion(editor: GraphEditor, opset: int) -> frozenset[str | None]:
    """Rewrite what the converter would corrupt.

    Returns:
        The names of the values that ``mend_resizes`` has to look at afterwards.

    Raises:
        QuaintError: QM110, if a GroupNormalization has computed parameters.
    """
    hardmaxes = list(editor.nodes("Hardmax")) if opset < 13 else []
    normalizations = list(editor.nodes("GroupNormalization")) if opset < 21 else []
    if hardmaxes or normalizations:
        infer_shapes(editor)
    for node in hardmaxes:
        _flatten_hardmax(editor, node)
    for node in normalizations:
        _parameters_per_channel(editor, node)
    return frozenset(node.outputs[0].name for node in editor.nodes("Upsample", "Resize")) if opset < 11 else frozenset()


def _flatten_hardmax(editor: GraphEditor, node: ir.Node) -> None:
    source, length = node.inputs[0], rank(node.inputs[0])
    if source is None or length is None:
        raise _refusal(node, "an input of unknown rank")
    axis = attribute(node, "axis", 1) % length
    if axis == length - 1:
        return
    flat = editor.insert(
        "Flatten", [source], {"axis": axis}, before=node, name=f"{node.name}/flat", like=source, shape=[None] * 2
    )
    result = editor.insert("Hardmax", [flat], {"axis": 1}, before=node, name=f"{node.name}/rows", like=flat)
    shape = editor.insert("Shape", [source], before=node, name=f"{node.name}/shape", like=source, shape=[length])
    shape.type = ir.TensorType(ir.DataType.INT64)
    editor.retype(node, "Reshape", [result, shape])


def _parameters_per_channel(editor: GraphEditor, node: ir.Node) -> None:
    shape, groups = dims(node.inputs[0]), attribute(node, "num_groups")
    channels = shape[1] if shape is not None and len(shape) > 1 else None
    for index in (1, 2):
        parameter = constant(node.inputs[index])
        if parameter is None or not isinstance(channels, int):
            raise _refusal(node, "computed parameters")
        editor.set_constant(node, index, np.repeat(parameter, channels // groups))


def _refusal(node: ir.Node, why: str) -> QuaintError:
    return QuaintError(
        "QM110",
        f"{node.op_type} with {why} cannot be converted to a newer operator set",
        where=node.name,
        hint="export the model with opset 21",
    )


def mend_resizes(editor: GraphEditor, names: Collection[str | None]) -> None:
    """Give the Resize nodes behind these values the sampling of opset 10: asymmetric, rounded down when enlarging.

    When reducing, onnxruntime takes the next element up, and so do we.
    """
    for node in editor.nodes("Resize"):
        if node.outputs[0].name in names:
            scales = constant(input_at(node, 2))
            reduces = scales is not None and bool((scales <= 1).all())
            node.attributes["coordinate_transformation_mode"] = ir.AttrString(
                "coordinate_transformation_mode", "asymmetric"
            )
            node.attributes["nearest_mode"] = ir.AttrString("nearest_mode", "ceil" if reduces else "floor")
