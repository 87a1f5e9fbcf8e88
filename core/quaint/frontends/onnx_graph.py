"""The structure of a model: complete, acyclic, sorted, without local functions, every node with a name of its own."""

from __future__ import annotations

import graphlib
import warnings
from typing import TYPE_CHECKING

import onnx_ir as ir

from quaint.errors import QuaintError, QuaintWarning

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from quaint.frontends.limits import Limits

#: The name that a node had in its source, in ``Node.metadata_props`` of a renamed node.
ORIGINAL_NAME = "quaint.original_name"

_LONGEST = 400


def describe(node: ir.Node) -> str:
    """How messages call a node: by its name, or by what it gives."""
    operator = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
    return f"node {node.name or ', '.join(v.name or '' for v in node.outputs)!r} ({operator})"


def brief(error: BaseException) -> str:
    """The message of what first went wrong, cut short: libraries quote whole models."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def subgraphs(node: ir.Node) -> Iterator[ir.Graph]:
    """The graphs in the attributes of ``node``, without the graphs in those."""
    for attribute in node.attributes.values():
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def nested(graph: ir.Graph | ir.Function) -> Iterator[tuple[ir.Graph | ir.Function, int]]:
    """``graph`` and every graph inside it, with its depth; an outer graph comes before its inner ones."""
    pending: list[tuple[ir.Graph | ir.Function, int]] = [(graph, 0)]
    while pending:
        current, depth = pending.pop()
        yield current, depth
        pending.extend((inner, depth + 1) for node in current for inner in subgraphs(node))


def graphs(model: ir.Model) -> Iterator[tuple[ir.Graph | ir.Function, int]]:
    """The main graph, the local functions and every graph inside them, with its depth."""
    yield from nested(model.graph)
    for function in model.functions.values():
        yield from nested(function)


def nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Every node of every graph."""
    for graph, _ in graphs(model):
        yield from graph


def sources(node: ir.Node) -> Iterator[ir.Value]:
    """The values that ``node`` depends on: its inputs, and what the graphs inside it take from outside."""
    yield from filter(None, node.inputs)
    inner = {graph: None for top in subgraphs(node) for graph, _ in nested(top)}
    for graph in inner:
        used = [value for user in graph for value in user.inputs if value is not None]
        yield from (value for value in (*used, *graph.outputs) if value.graph not in inner)


def inline_functions(model: ir.Model, limits: Limits, where: str) -> None:
    """Put the bodies of local functions where they are called; how much that makes is counted first (QM120, QM153)."""
    if not model.functions:
        return
    calls = {
        name: [(node, depth) for body, depth in nested(function) for node in body]
        for name, function in model.functions.items()
    }
    callees = {name: [node.op_identifier() for node, _ in body] for name, body in calls.items()}
    try:
        order = list(graphlib.TopologicalSorter(callees).static_order())
    except graphlib.CycleError as error:
        cycle = " -> ".join(f"{domain}::{name}" for domain, name, _ in error.args[1])
        raise QuaintError("QM120", f"functions call each other in a circle: {cycle}", where=where) from error
    size, height = dict.fromkeys(order, 1), dict.fromkeys(order, 0)
    for name in order:
        if name in calls:
            size[name] = sum(size[node.op_identifier()] for node, _ in calls[name])
            height[name] = max((depth + height[node.op_identifier()] for node, depth in calls[name]), default=0)
            limits.check_nodes(size[name], where)
            limits.check_depth(height[name], where)
    outer = [(node.op_identifier(), depth) for graph, depth in nested(model.graph) for node in graph]
    limits.check_nodes(sum(size.get(name, 1) for name, _ in outer), where)
    limits.check_depth(max((depth + height.get(name, 0) for name, depth in outer), default=0), where)
    from onnx_ir.passes.common import InlinePass

    try:
        InlinePass()(model)
    except (ValueError, RuntimeError) as error:
        raise QuaintError("QM160", f"local functions cannot be inlined: {brief(error)}", where=where) from error
    model.functions.clear()


def check_size(model: ir.Model, limits: Limits, where: str) -> None:
    """Refuse graphs nested too deeply or of too many nodes (QM153)."""
    total = 0
    for graph, depth in graphs(model):
        limits.check_depth(depth, where)
        total += len(graph)
    limits.check_nodes(total, where)


def check_complete(model: ir.Model, where: str) -> None:
    """Refuse a model without inputs or outputs (QM122), or with a tensor (QM121) or graph (QM160) that is not there."""
    main = model.graph
    for node in nodes(model):
        for attribute in node.attributes.values():
            if attribute.is_ref() and attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS):
                what = f"{describe(node)} has no graph of its own, but refers to {attribute.ref_attr_name!r}"
                raise QuaintError("QM160", what, where=where)
    dangling = next(filter(None, (_dangling(graph) for graph, _ in graphs(model))), None)
    if all(value.is_initializer() for value in main.inputs):
        needed = f", yet {dangling[0]} needs {dangling[1]!r}" if dangling else ""
        raise QuaintError("QM122", f"the model declares no input{needed}", where=where, hint="export it again")
    if not main.outputs:
        raise QuaintError("QM122", "the model declares no output", where=where, hint="export it again")
    if dangling:
        what = f"tensor {dangling[1]!r}, needed by {dangling[0]}, is produced by nothing"
        raise QuaintError("QM121", what, where=where, hint="the model was cut or edited: export it again")
    for value in main.inputs:
        dims = () if value.shape is None or value.is_initializer() else value.shape.dims
        if any(isinstance(dim, int) and dim < 1 for dim in dims):
            what = f"input {value.name!r} has the shape {list(dims)} with a dimension below 1"
            raise QuaintError("QM132", what, where=where, hint="name a dimension that varies, such as 'N'")


def _dangling(graph: ir.Graph | ir.Function) -> tuple[str, str] | None:
    def lost(value: ir.Value) -> bool:
        producer = value.producer()
        if producer is None:
            return not (value.is_graph_input() or value.is_initializer())
        return producer.graph is None

    for node in graph:
        for value in node.inputs:
            if value is not None and lost(value):
                return describe(node), value.name or ""
    return next((("the graph's output", value.name or "") for value in graph.outputs if lost(value)), None)


def sort(model: ir.Model, where: str) -> None:
    """Order nodes so that a tensor is produced before it is used; refuse cycles (QM120)."""
    try:
        model.graph.sort()
        for function in model.functions.values():
            function.sort()
    except ValueError as error:
        for graph, _ in graphs(model):
            _refuse_cycle(graph, where)
        raise QuaintError("QM120", "the graph has a cycle through its subgraphs", where=where) from error


def _refuse_cycle(graph: ir.Graph | ir.Function, where: str) -> None:
    producers = {node: [value.producer() for value in sources(node)] for node in graph}
    local = {node: [p for p in found if p in producers] for node, found in producers.items()}
    try:
        graphlib.TopologicalSorter(local).prepare()
    except graphlib.CycleError as error:
        cycle = " -> ".join(describe(node) for node in error.args[1])
        raise QuaintError("QM120", f"the graph has a cycle: {cycle}", where=where) from error


def name_nodes(model: ir.Model, where: str) -> None:
    """Give every node a name of its own: unnamed ones by operator and position, repeated ones by a number."""
    taken = {node.name for node in nodes(model)}
    seen: set[str] = set()
    renamed = []
    for index, node in enumerate(nodes(model)):
        if node.name and node.name not in seen:
            seen.add(node.name)
            continue
        old = node.name
        node.name = _free(f"{old or node.op_type}_{index}", taken)
        taken.add(node.name)
        seen.add(node.name)
        if old:
            node.metadata_props[ORIGINAL_NAME] = old
            renamed.append(f"{old!r} is now {node.name!r}")
    if renamed:
        message = f"{where}: {len(renamed)} nodes had a name that another node has: {_some(renamed)}"
        warnings.warn(message, QuaintWarning, stacklevel=3)


def _free(name: str, taken: Iterable[str | None]) -> str:
    while name in taken:
        name += "_"
    return name


def _some(items: list[str]) -> str:
    return ", ".join(items[:3]) + (", ..." if len(items) > 3 else "")
