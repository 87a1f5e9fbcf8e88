"""First: one flat, sorted graph of one operator set whose constants are initializers."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from quaint.canonicalize.legacy import mend_resizes, prepare_conversion
from quaint.canonicalize.skeleton import skeleton
from quaint.errors import QuaintError
from quaint.graph import GraphEditor, is_op

OPSET, IR_VERSION = 21, 10


def inline_functions(editor: GraphEditor) -> bool:
    """Inline model-local functions.

    Requires: functions that do not call themselves. Ensures: the model has no functions.
    """
    if not editor.model.functions:
        return False
    editor.load(InlinePass()(editor.model).model)
    return True


def sort_nodes(editor: GraphEditor) -> bool:
    """Sort the nodes topologically, changing the given order as little as possible.

    Requires: no cycle. Ensures: every node stands behind the nodes it reads from.
    """
    before = list(editor.graph)
    editor.graph.sort()
    return before != list(editor.graph)


def drop_default_inputs(editor: GraphEditor) -> bool:
    """Stop listing initializers as inputs, as models before IR version 4 had to.

    Ensures: every graph input is fed by the user.
    """
    inputs = [value for value in editor.graph.inputs if value.name not in editor.graph.initializers]
    if len(inputs) == len(editor.graph.inputs):
        return False
    editor.graph.inputs[:] = inputs
    return True


def lift_constants(editor: GraphEditor) -> bool:
    """Turn ``Constant`` nodes into initializers.

    Ensures: no ``Constant`` in the main graph (where it is a graph output, an ``Identity`` of an initializer).
    """
    changed = False
    for node in editor.nodes("Constant"):
        tensor = ir.convenience.get_const_tensor(node.outputs[0])
        if tensor is not None and tensor.dtype != ir.DataType.STRING:
            lifted = editor.constant(tensor.numpy(), node.outputs[0].name or "constant")
            _stand_for(editor, node, lifted)
            changed = True
    return changed


def _stand_for(editor: GraphEditor, node: ir.Node, lifted: ir.Value) -> None:
    """Let the initializer ``lifted`` stand for the only output of ``node``, under its name where that is possible."""
    output = node.outputs[0]
    if output.is_graph_output():
        editor.retype(node, "Identity", [lifted])
        return
    output.replace_all_uses_with(lifted)
    editor.erase(node)
    lifted.name = output.name


def convert_opset(editor: GraphEditor) -> bool:
    """Convert the model to opset 21 of the default domain, IR version 10.

    Requires: no functions. Ensures: one default-domain opset, 21, and a graph that passes ``onnx.checker``.

    Raises:
        QuaintError: QM110, if onnx cannot convert the model.
    """
    model = editor.model
    source = model.opset_imports.get("", OPSET)
    if source != OPSET:
        _convert(editor, source)
    model = editor.model
    used = {node.domain for node in model.graph.all_nodes()}
    imports = {domain: version for domain, version in model.opset_imports.items() if domain in used} | {"": OPSET}
    changed = model.opset_imports != imports or model.ir_version != IR_VERSION
    model.opset_imports.clear()
    model.opset_imports.update(imports)
    model.ir_version = IR_VERSION
    return changed


def _convert(editor: GraphEditor, source: int) -> None:
    """Convert the graph with onnx's version converter, then put back what the converter does not see."""
    model = editor.model
    resizes = prepare_conversion(editor, source)
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton(model), data_prop=True)
        for info, value in zip(inferred.graph.output, model.graph.outputs, strict=True):
            if not info.type.tensor_type.HasField("shape"):
                info.CopyFrom(ir.to_proto(value))
        converted = onnx.version_converter.convert_version(inferred, OPSET)
        onnx.checker.check_model(converted)
    except (RuntimeError, ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise QuaintError(
            "QM110",
            f"operator set {source} cannot be converted to {OPSET}",
            where=model.graph.name,
            hint="export the model with a newer operator set",
            details=str(error).splitlines()[:5],
        ) from error
    fresh = ir.from_proto(converted)
    _restore(fresh.graph, model.graph)
    fresh.metadata_props.update(model.metadata_props)
    fresh.producer_name, fresh.producer_version = model.producer_name, model.producer_version
    editor.load(fresh)
    mend_resizes(editor, resizes)


def _restore(graph: ir.Graph, source: ir.Graph) -> None:
    """Give ``graph``, which came back from the converter, the inputs, weights and output shapes of ``source``."""
    by_name = {value.name: value for value in graph.inputs}
    for name, old in source.initializers.items():
        value = graph.initializers.get(name) or by_name.get(name)
        if value is not None:
            value.const_value = old.const_value
            graph.initializers.add(value)
    graph.inputs[:] = [by_name[value.name] for value in source.inputs if value.name in by_name]
    for new, old in zip([*graph.inputs, *graph.outputs], [*source.inputs, *source.outputs], strict=True):
        new.shape, new.type = old.shape, old.type


def drop_unused(editor: GraphEditor) -> bool:
    """Remove what no output depends on: nodes, initializers, optional last outputs.

    Ensures: every node and initializer is read or is a graph output.
    """
    changed = False
    for node in reversed(tuple(editor.graph)):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            editor.erase(node)
            changed = True
        elif is_op(node, "MaxPool", "BatchNormalization", "LayerNormalization") and len(node.outputs) > 1:
            kept = max(i for i, value in enumerate(node.outputs) if value.uses() or value.is_graph_output()) + 1
            changed |= kept < len(node.outputs)
            node.resize_outputs(kept)
    for name, value in tuple(editor.graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del editor.graph.initializers[name]
            changed = True
    return changed
