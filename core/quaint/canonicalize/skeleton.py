"""The model as onnx's C++ sees it: without large weights, which it would only copy."""

from __future__ import annotations

import onnx
import onnx_ir as ir

#: Initializers above this size become inputs of the skeleton; no shape or axes constant is as large.
MAX_BYTES = 4096

#: Stands for the symbolic batch in shape inference, so that everything but the batch comes out as a number. A prime far
#: above any real extent: what depends on the batch shows in the result.
BATCH_SENTINEL = 2**31 - 1


def skeleton(model: ir.Model) -> onnx.ModelProto:
    """The graph of ``model`` with its large initializers as inputs and without the shapes it declares inside.

    A symbolic first dimension of an input is given as ``BATCH_SENTINEL``; other symbolic ones keep their names.
    """
    graph, proto = model.graph, onnx.ModelProto(ir_version=max(model.ir_version, 4))
    for domain, version in model.opset_imports.items():
        proto.opset_import.add(domain=domain, version=version)
    proto.graph.name = graph.name or "graph"
    proto.graph.node.extend(ir.to_proto(node) for node in graph)
    for value in graph.inputs:
        if value.name in graph.initializers:
            continue
        info = ir.to_proto(value)
        shape = info.type.tensor_type.shape if info.type.HasField("tensor_type") else None
        if shape is not None and shape.dim and not shape.dim[0].HasField("dim_value"):
            shape.dim[0].dim_value = BATCH_SENTINEL
        proto.graph.input.append(info)
    for value in graph.initializers.values():
        tensor = value.const_value
        assert tensor is not None
        if tensor.nbytes > MAX_BYTES:
            info = onnx.helper.make_tensor_value_info(value.name or "", int(tensor.dtype), list(tensor.shape.numpy()))
            proto.graph.input.append(info)
        else:
            proto.graph.initializer.append(_named(ir.to_proto(tensor), value.name or ""))
    proto.graph.output.extend(_without_shape(value) for value in graph.outputs)
    proto.graph.value_info.extend(
        ir.to_proto(value) for node in graph if node.domain for value in node.outputs if value.type is not None
    )
    return proto


def _named(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    tensor.name = name
    return tensor


def _without_shape(value: ir.Value) -> onnx.ValueInfoProto:
    """A graph output without its shape: exporters write wrong ones; its type stays."""
    info = ir.to_proto(value)
    if info.type.HasField("tensor_type"):
        info.type.tensor_type.ClearField("shape")
    return info
