"""Shapes: fix those of the inputs, infer all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from quaint.canonicalize.skeleton import BATCH_SENTINEL, skeleton
from quaint.errors import QuaintError
from quaint.graph import Dim, GraphEditor, dims
from quaint.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BATCH = "N"
#: Operators that onnx has no shape inference for; the result is shaped like the first input.
_SAME_SHAPE = ("GroupNormalization", "MeanVarianceNormalization")
#: The operator set whose inference counts poolings' windows that begin in the border (``ceil_mode``), as no runtime does;
#: the next one has the same operators.
_WRONG_WINDOWS = 21


def set_input_shapes(editor: GraphEditor, shapes: Mapping[str, Sequence[int]]) -> None:
    """Give inputs the shapes that the user asks for; -1 as first dimension means a symbolic batch.

    Raises:
        QuaintError: QT320, if an input is unknown, a shape is not possible or the model does not accept it.
    """
    inputs = {value.name or "": value for value in editor.graph.inputs if not value.is_initializer()}
    for name, shape in shapes.items():
        if name not in inputs:
            raise QuaintError(
                "QT320", f"a shape is given for {name!r}, which is no input", hint=did_you_mean(name, inputs)
            )
        old = dims(inputs[name])
        if (
            (old is not None and len(old) != len(shape))
            or any(dim < 1 for dim in shape[1:])
            or shape[:1] in ([0], (0,))
        ):
            declared = "?" if old is None else ", ".join(str(dim) for dim in old)
            raise QuaintError("QT320", f"shape {list(shape)} does not fit the declared [{declared}]", where=name)
        inputs[name].shape = ir.Shape([BATCH if i == 0 and dim < 0 else dim for i, dim in enumerate(shape)])
    if shapes:
        _accept(editor.model)


def _accept(model: ir.Model) -> None:
    """Refuse shapes that contradict an operator of the model."""
    try:
        onnx.shape_inference.infer_shapes(skeleton(model), strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        raise QuaintError(
            "QT320", "the model does not accept the given shapes", where=model.graph.name, details=[str(error)]
        ) from error


def check_inputs(editor: GraphEditor) -> bool:
    """Name the batch of every input; refuse inputs that are dynamic elsewhere.

    Ensures: the first dimension of every tensor input is an int or ``N``, all others are ints.

    Raises:
        QuaintError: QT320, if another dimension or the rank is unknown.
    """
    changed = False
    for value in editor.graph.inputs:
        shape = dims(value)
        if shape is None or any(not isinstance(dim, int) for dim in shape[1:]):
            known = "of unknown rank" if shape is None else f"[{', '.join(str(dim or '?') for dim in shape)}]"
            raise QuaintError(
                "QT320",
                f"the input is dynamic: {known}",
                where=value.name,
                hint=f"give its shape, for example --shape {value.name}=1,3,224,224",
            )
        if shape and not isinstance(shape[0], int) and shape[0] != BATCH:
            value.shape = ir.Shape([BATCH, *shape[1:]])
            changed = True
    return changed


def infer_shapes(editor: GraphEditor) -> bool:
    """Set type and shape of every value of the main graph as onnx infers them.

    Requires: input shapes as ``check_inputs`` leaves them. Ensures: a dimension that is the batch is ``N``; one that
    depends on the batch in another way, or on data, is unknown. An output that onnx knows nothing of stays as declared.
    """
    proto = skeleton(editor.model)
    for imported in proto.opset_import:
        if not imported.domain and imported.version == _WRONG_WINDOWS:
            imported.version += 1
    for node in proto.graph.node:
        if node.op_type in _SAME_SHAPE and not node.domain:
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    infos = {info.name: info for info in (*inferred.value_info, *inferred.output)}
    for value in (out for node in editor.graph for out in node.outputs):
        info = infos.get(value.name or "")
        if info is None or not info.type.HasField("tensor_type"):
            continue
        tensor = info.type.tensor_type
        value.type = ir.TensorType(ir.DataType(tensor.elem_type))
        if tensor.HasField("shape"):
            value.shape = ir.Shape([_dim(dim) for dim in tensor.shape.dim])
        elif not value.is_graph_output():
            value.shape = None
    return False


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    if not dim.HasField("dim_value"):
        return None
    if dim.dim_value == BATCH_SENTINEL:
        return BATCH
    return None if dim.dim_value >= BATCH_SENTINEL // 2 else dim.dim_value
