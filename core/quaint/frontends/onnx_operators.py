"""What a model's operators are: all of ONNX, none quantized, none whose control flow depends on data, well typed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from quaint.errors import QuaintError
from quaint.frontends.onnx_graph import brief, describe, graphs, nodes, sources

if TYPE_CHECKING:
    from quaint.frontends.limits import Limits

#: What the pinned onnxruntime runs, and its converter and ours understand; a test holds this against onnxruntime.
MIN_OPSET, MAX_OPSET, MAX_IR_VERSION = 7, 26, 13

_QUANTIZED = frozenset(
    {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"},
)
_QUANTIZED_PREFIXES = ("QLinear", "DynamicQuantize", "MatMulNBits", "QGemm", "QAttention")
_OWN_DOMAIN = "quaint."
_CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})
_RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"}
)
_NOT_TENSORS = frozenset({"SplitToSequence", "ConcatFromSequence", "RegexFullMatch", "TfIdfVectorizer"})
_NOT_TENSOR_PREFIXES = ("Sequence", "Optional", "String")
_SMALL = 8192


def check_versions(model: ir.Model, where: str) -> None:
    """Refuse versions of the format that are missing (QM111), too old or too new (QM110)."""
    opset = model.opset_imports.get("")
    if opset is None:
        raise QuaintError("QM111", "the model does not say its opset", where=where, hint="export it again")
    if not model.ir_version:
        raise QuaintError("QM111", "the model does not say its ir_version", where=where, hint="export it again")
    newest = min(MAX_OPSET, onnx.defs.onnx_opset_version())
    if not MIN_OPSET <= opset <= newest:
        what = f"the model has opset {opset}, supported are {MIN_OPSET} to {newest}"
        hint = f"export it with an opset in that range, or try onnx.version_converter.convert_version(model, {newest})"
        raise QuaintError("QM110", what, where=where, hint=hint)
    if not 0 < model.ir_version <= min(MAX_IR_VERSION, onnx.IR_VERSION):
        what = f"the model has ir_version {model.ir_version}, supported are 1 to {min(MAX_IR_VERSION, onnx.IR_VERSION)}"
        raise QuaintError("QM110", what, where=where, hint="export it with an older release of onnx")


def check_float(model: ir.Model, where: str) -> None:
    """Refuse a model that is quantized already (QM170); local functions count, they may hide it."""
    for node in nodes(model):
        quantized = node.op_type in _QUANTIZED or node.op_type.startswith(_QUANTIZED_PREFIXES)
        if quantized or node.domain.startswith(_OWN_DOMAIN):
            what = f"the model is already quantized: {describe(node)}"
            raise QuaintError("QM170", what, where=where, hint="give the float model that it was made from")


def check_operators(model: ir.Model, where: str) -> None:
    """Refuse operators that are not ONNX's (QM150), that do not work on tensors (QM152), and data-dependent control flow.

    The model is sorted and has no local functions.
    """
    opset = model.opset_imports[""]
    for node in nodes(model):
        if node.domain or not onnx.defs.has(node.op_type, max_inclusive_version=opset):
            raise _custom(node, opset, where)
        if node.op_type in _NOT_TENSORS or node.op_type.startswith(_NOT_TENSOR_PREFIXES):
            what = f"{describe(node)} works on sequences, optional values or strings, which are not supported"
            raise QuaintError("QM152", what, where=where)
    for value in (*model.graph.inputs, *model.graph.outputs):
        if not isinstance(value.type, ir.TensorType | None) or value.dtype == ir.DataType.STRING:
            what = f"{value.name!r} is {value.type}, only tensors of numbers are supported"
            raise QuaintError("QM152", what, where=where)
    _check_control_flow(model, where)


def _custom(node: ir.Node, opset: int, where: str) -> QuaintError:
    if not node.domain:
        what = f"{describe(node)} is no operator of opset {opset}"
    else:
        what = f"{describe(node)} is of the custom domain {node.domain!r}, whose meaning in float is not known"
    if node.domain == "com.microsoft":
        hint = "export the model without onnxruntime's own graph optimization"
    else:
        hint = "define it as a model-local function; if a chip runs it as one layer, register a pattern plugin for that"
    return QuaintError("QM150", what, where=where, hint=hint)


def _check_control_flow(model: ir.Model, where: str) -> None:
    """QM151, unless what steers the node is known without data: constants, and shapes, which a target makes static."""
    if not any(node.op_type in _CONTROL_FLOW for node in model.graph.all_nodes()):
        return
    known: set[ir.Value] = set()

    def is_known(value: ir.Value) -> bool:
        return value in known or (value.is_initializer() and not value.is_graph_input())

    # Outer graphs come first and nodes are sorted, so what a graph takes from outside is settled before.
    for graph, _ in graphs(model):
        for node in graph:
            steering = node.inputs[:1] if node.op_type == "If" else list(sources(node))
            if node.op_type in _CONTROL_FLOW and not all(is_known(v) for v in steering if v is not None):
                what = f"{describe(node)} is control flow that depends on data, which an integer program cannot have"
                raise QuaintError("QM151", what, where=where, hint="export the model with fixed control flow")
            constant = node.op_type not in _RANDOM and all(is_known(v) for v in sources(node))
            if constant or node.op_type in ("Shape", "Size"):
                known.update(node.outputs)


def check_types(model: ir.Model, limits: Limits, where: str) -> None:
    """Refuse what ONNX's own checker and strict shape inference refuse (QM160), and giant activations (QM131)."""
    try:
        proto = ir.to_proto(_without_weights(model))
    except (RuntimeError, ValueError, TypeError) as error:
        raise QuaintError("QM160", f"the model cannot be written as ONNX: {brief(error)}", where=where) from error
    # Annotations of inner tensors, and the shapes of outputs, are hints that go stale; what matters is inferred anew.
    del proto.graph.value_info[:]
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
        output.type.tensor_type.shape.SetInParent()  # which the checker wants, and inference must not find
    try:
        onnx.checker.check_model(proto)
        for output in proto.graph.output:
            output.type.tensor_type.ClearField("shape")
        inferred = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise QuaintError("QM160", f"the model is not valid ONNX: {brief(error)}", where=where) from error
    for info in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        tensor = info.type.tensor_type
        if tensor.elem_type == onnx.TensorProto.STRING:
            raise QuaintError("QM152", f"tensor {info.name!r} holds strings, which are not supported", where=where)
        elements = math.prod(dim.dim_value if dim.HasField("dim_value") else 1 for dim in tensor.shape.dim)
        bits = ir.DataType(tensor.elem_type).bitwidth if tensor.elem_type else 0
        limits.check_tensor(elements * bits // 8, f"tensor {info.name!r}", where)


def _without_weights(model: ir.Model) -> ir.Model:
    """A copy whose large constants are inputs: the checker copies its model, and protobuf ends at 2 GB."""
    copy = model.clone()
    copy.ir_version = MAX_IR_VERSION  # older ones want every initializer to be an input too
    for name, value in list(copy.graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.nbytes <= _SMALL:
            continue
        value.dtype, value.shape = tensor.dtype, ir.Shape(tensor.shape.numpy())
        del copy.graph.initializers[name]
        if not value.is_graph_input():
            copy.graph.inputs.append(value)
    return copy
