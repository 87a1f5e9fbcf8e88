"""Compute once what does not depend on the inputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from quaint.canonicalize.prepare import drop_unused
from quaint.canonicalize.shapes import infer_shapes
from quaint.graph import GraphEditor, attribute, constant, dims, is_op, static_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What folding may add to the size of a model; a node whose outputs are not larger than its inputs is always folded.
MAX_ADDED_BYTES = 2**28
_MAX_ROUNDS = 100
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli", "Dropout"}
)
_NATIVE = frozenset(
    getattr(ir.DataType, name)
    for name in ("FLOAT", "DOUBLE", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "BOOL")
)


def fold_constants(editor: GraphEditor) -> bool:
    """Replace nodes with constant results by initializers, ``If`` with a constant condition by its branch.

    Requires: input shapes as ``check_inputs`` leaves them. Ensures: shapes and types as ``infer_shapes``; no node reads
    constants only, unless it is random, gives a graph output or a result too large to store (``MAX_ADDED_BYTES``);
    static shapes are constants. The batch, where it is symbolic, is never folded.
    """
    anything = False
    for _ in range(_MAX_ROUNDS):
        infer_shapes(editor)
        changed = _fold_shapes(editor)
        changed |= _inline_branches(editor)
        changed |= _evaluate(editor, _foldable(editor))
        changed |= drop_unused(editor)
        if not changed:
            break
        anything = True
    return anything


def _fold_shapes(editor: GraphEditor) -> bool:
    """Replace ``Shape`` and ``Size`` of known extent, and known entries picked from a partly known ``Shape``."""
    changed = False
    for node in editor.nodes("Shape", "Size"):
        extents = dims(node.inputs[0])
        if extents is None:
            continue
        if is_op(node, "Size"):
            known = static_shape(node.inputs[0])
            changed |= known is not None and _to_constant(editor, node, np.array(math.prod(known), np.int64))
            continue
        extents = extents[slice(attribute(node, "start", 0), attribute(node, "end"))]
        numbers = [dim for dim in extents if isinstance(dim, int)]
        if len(numbers) == len(extents):
            changed |= _to_constant(editor, node, np.array(numbers, np.int64))
            continue
        entries = np.array([dim if isinstance(dim, int) else -1 for dim in extents], np.int64)
        for reader in node.outputs[0].consumers():
            picked = _pick(reader, entries)
            changed |= picked is not None and bool((picked >= 0).all()) and _to_constant(editor, reader, picked)
    return changed


def _pick(reader: ir.Node, entries: np.ndarray) -> np.ndarray | None:
    """What ``Gather`` or ``Slice`` with constant arguments picks from a shape."""
    arguments = [constant(value) for value in reader.inputs[1:]]
    if any(argument is None for argument in arguments):
        return None
    if is_op(reader, "Gather"):
        (indices,) = arguments
        assert indices is not None
        inside = (indices >= -len(entries)).all() and (indices < len(entries)).all()
        return entries[indices] if inside else None
    if is_op(reader, "Slice"):
        numbers = [int(argument.reshape(-1)[0]) for argument in arguments if argument is not None]
        start, end, step = numbers[0], numbers[1], numbers[3] if len(numbers) > 3 else 1
        return entries[start:end:step] if step > 0 else None
    return None


def _to_constant(editor: GraphEditor, node: ir.Node, array: np.ndarray) -> bool:
    """Let an initializer stand for the only output of ``node``, unless that is a graph output."""
    return _outputs_to_constants(editor, node, [array])


def _outputs_to_constants(editor: GraphEditor, node: ir.Node, arrays: Sequence[np.ndarray]) -> bool:
    if node.graph is not editor.graph or any(value.is_graph_output() for value in node.outputs):
        return False
    lifted = {}
    for value, array in zip(node.outputs, arrays, strict=True):
        if value.uses():
            lifted[value] = editor.constant(array, value.name or "constant")
            value.replace_all_uses_with(lifted[value])
    editor.erase(node)
    for value, initializer in lifted.items():
        initializer.name = value.name
    return True


def _inline_branches(editor: GraphEditor) -> bool:
    """Replace every ``If`` of the main graph whose condition is constant by the nodes of its branch."""
    changed = False
    for node in editor.nodes("If"):
        condition = constant(node.inputs[0])
        if condition is None or condition.size != 1:
            continue
        branch = node.attributes["then_branch" if condition.item() else "else_branch"].as_graph()
        results = list(branch.outputs)
        branch.outputs.clear()
        for name, value in tuple(branch.initializers.items()):
            del branch.initializers[name]
            assert value.const_value is not None
            value.const_value = ir.Tensor(value.const_value.numpy())  # not shared with the source, so it may be renamed
            value.name = editor.adopt_value_name(name)
            editor.graph.register_initializer(value)
        for inner in tuple(branch):
            branch.remove(inner)
            inner.name = editor.adopt_node_name(inner.name)
            for value in inner.outputs:
                value.name = editor.adopt_value_name(value.name)
            editor.graph.insert_before(node, inner)
        for old, result in zip(node.outputs, results, strict=True):
            new = editor.insert("Identity", [result], before=node, name=old.name, like=old)
            editor.replace(old, new)
        editor.erase(node)
        changed = True
    return changed


def _foldable(editor: GraphEditor) -> list[ir.Node]:
    """The nodes to evaluate, in order: deterministic, of constants only, with results of known and bounded size."""
    chosen: list[ir.Node] = []
    inside: set[ir.Value] = set()
    budget = MAX_ADDED_BYTES
    for node in editor.nodes():
        sources = [value for value in node.inputs if value is not None]
        if (
            node.op_type in _RANDOM
            or not sources
            or any(value.is_graph_output() for value in node.outputs)
            or any(attr.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for attr in node.attributes.values())
            or any(value not in inside and constant(value) is None for value in sources)
        ):
            continue
        sizes = [_nbytes(value) for value in node.outputs]
        known = [size for size in sizes if size is not None]
        added = max(sum(known) - sum(_nbytes(value) or 0 for value in sources), 0)
        if len(known) < len(sizes) or added > budget:
            continue
        budget -= added
        chosen.append(node)
        inside.update(node.outputs)
    return chosen


def _nbytes(value: ir.Value) -> int | None:
    """Size of a tensor of known shape and of a type that NumPy has, or None."""
    shape = static_shape(value)
    if shape is None or value.dtype is None or value.dtype not in _NATIVE:
        return None
    return math.prod(shape) * int(value.dtype.itemsize)


def _evaluate(editor: GraphEditor, nodes: Sequence[ir.Node]) -> bool:
    """Compute ``nodes`` with onnxruntime, all at once, or one by one where one of them has no implementation."""
    if not nodes:
        return False
    try:
        results = _run(nodes)
    except Exception:  # noqa: BLE001  onnxruntime has no public base class of its errors
        if len(nodes) == 1:
            return False
        outcomes = [_evaluate(editor, [node]) for node in nodes]
        return any(outcomes)
    for node in nodes:
        arrays = [results.get(value.name or "", np.empty(0)) for value in node.outputs]
        if any(value.name in results for value in node.outputs):
            _outputs_to_constants(editor, node, arrays)
    return True


def _run(nodes: Sequence[ir.Node]) -> dict[str, np.ndarray]:
    """The values that others than ``nodes`` read, by name."""
    computed = {value for node in nodes for value in node.outputs}
    inside = set(nodes)
    graph = onnx.GraphProto(name="constants", node=[ir.to_proto(node) for node in nodes])
    for value in dict.fromkeys(value for node in nodes for value in node.inputs if value is not None):
        array = None if value in computed else constant(value)
        if array is not None:
            graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
    wanted = [value for node in nodes for value in node.outputs if any(use.node not in inside for use in value.uses())]
    graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in wanted)
    owner = nodes[0].graph
    assert isinstance(owner, ir.Graph)
    model = onnx.ModelProto(ir_version=10, graph=graph)
    for domain, version in owner.opset_imports.items():
        model.opset_import.add(domain=domain, version=version)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name or "" for value in wanted]
    return dict(zip(names, session.run(names, {}), strict=True))
