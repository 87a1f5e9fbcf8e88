"""What is in an ``.espdl`` file: as a dictionary for tools, and as a text to read beside the file."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint_espdl.file.elements import Attribute, EspdlGraph, EspdlModel, EspdlNode, EspdlTensor, ValueInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

_VALUES_PER_LINE = 32
_LINES_AT_ONCE = 1 << 10


def describe(model: EspdlModel) -> dict[str, Any]:
    """A summary of plain lists, strings and numbers (ready for JSON); constants by size, not by value.

    Returns:
        ``format``, ``ir_version``, ``producer``, ``metadata``, ``graph`` (its name), ``inputs``, ``outputs``, ``ops``
        (operation to count, commonest first), ``nodes``, ``parameters`` (count, elements, bytes, bytes by type) and
        ``test_vectors`` (names). A variable or constant is its ``name``, ``shape``, ``dtype`` and ``exponents``.
    """
    graph = model.graph
    named: tuple[ValueInfo | EspdlTensor, ...] = (*graph.value_info, *graph.inputs, *graph.outputs, *graph.initializers)
    edges = {edge.name: _edge(edge) for edge in named}
    return {
        "format": "espdl",
        "ir_version": model.ir_version,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "metadata": dict(model.metadata),
        "graph": graph.name,
        "inputs": [_edge(info) for info in graph.inputs],
        "outputs": [_edge(info) for info in graph.outputs],
        "ops": dict(Counter(node.op_type for node in graph.nodes).most_common()),
        "nodes": [_node(node, edges) for node in graph.nodes],
        "parameters": _parameters(graph.initializers),
        "test_vectors": {
            "inputs": [tensor.name for tensor in graph.test_inputs],
            "outputs": [tensor.name for tensor in graph.test_outputs],
        },
    }


def info_text(model: EspdlModel) -> str:
    """The ``.info`` text: the graph, then every constant and test vector with its values in the file's order."""
    return "\n".join(_info_lines(model)) + "\n"


def _edge(edge: ValueInfo | EspdlTensor) -> dict[str, Any]:
    description: dict[str, Any] = {
        "name": edge.name,
        "shape": list(edge.dims),
        "dtype": edge.dtype.name.lower(),
        "exponents": list(edge.exponents),
    }
    if isinstance(edge, EspdlTensor):
        description |= {"layout": edge.layout, "bytes": len(edge.raw)}
    return description


def _node(node: EspdlNode, edges: dict[str, dict[str, Any]]) -> dict[str, Any]:
    def described(names: Iterable[str]) -> list[dict[str, Any]]:
        return [edges.get(name, {"name": name}) for name in names]

    attributes = {k: _edge(v) if isinstance(v, EspdlTensor) else v for k, v in node.attributes.items()}
    return {
        "name": node.name,
        "op": node.op_type,
        "inputs": described(node.inputs),
        "outputs": described(node.outputs),
        "attributes": {k: list(v) if isinstance(v, tuple) else v for k, v in attributes.items()},
    }


def _parameters(tensors: Iterable[EspdlTensor]) -> dict[str, Any]:
    by_type: Counter[str] = Counter()
    elements = count = 0
    for tensor in tensors:
        by_type[tensor.dtype.name.lower()] += len(tensor.raw)
        elements += tensor.values.size
        count += 1
    return {
        "count": count,
        "elements": elements,
        "bytes": by_type.total(),
        "bytes_by_type": dict(sorted(by_type.items())),
    }


def _info_lines(model: EspdlModel) -> Iterator[str]:
    yield f"ir_version: {model.ir_version}"
    yield f"producer: {_text(f'{model.producer_name} {model.producer_version}'.strip())}"
    yield "metadata:"
    yield from (f"  {_text(key)}: {_text(value)}" for key, value in model.metadata.items())
    yield from _graph_lines(model.graph)
    for title, tensors in (
        ("parameters", model.graph.initializers),
        ("test inputs", model.graph.test_inputs),
        ("test outputs", model.graph.test_outputs),
    ):
        yield f"\n{title} (values in the order of the file):"
        for tensor in tensors:
            yield f"  {_signature(tensor)} {tensor.layout}".rstrip()
            yield from _value_lines(tensor)


def _graph_lines(graph: EspdlGraph) -> Iterator[str]:
    yield f"\ngraph {_text(graph.name)}"
    for title, infos in (("inputs", graph.inputs), ("outputs", graph.outputs), ("variables", graph.value_info)):
        yield f"{title}:"
        yield from (f"  {_signature(info)}" for info in infos)
    yield "nodes:"
    for node in graph.nodes:
        attributes = ", ".join(f"{_text(name)}={_attribute(value)}" for name, value in node.attributes.items())
        inputs, outputs = (", ".join(map(_text, names)) for names in (node.inputs, node.outputs))
        yield f"  {_text(node.name)}: {outputs} = {_text(node.op_type)}({inputs}) {{{attributes}}}"


def _signature(edge: ValueInfo | EspdlTensor) -> str:
    exponents = edge.exponents[:1] if len(set(edge.exponents)) == 1 else edge.exponents
    return f"{_text(edge.name)}: {edge.dtype.name} {list(edge.dims)} exponents {list(exponents)}"


def _attribute(value: Attribute) -> str:
    return _signature(value) if isinstance(value, EspdlTensor) else repr(value)


def _value_lines(tensor: EspdlTensor) -> Iterator[str]:
    """The values, a fixed number per line."""
    values = tensor.values
    if values.dtype.kind == "f":
        items = values.astype(str).tolist()
        for start in range(0, len(items), _VALUES_PER_LINE):
            yield "    " + " ".join(items[start : start + _VALUES_PER_LINE])
        return
    integers = values.astype(np.uint8) if values.dtype.kind == "b" else values
    whole = len(integers) - len(integers) % _VALUES_PER_LINE
    for start in range(0, whole, _VALUES_PER_LINE * _LINES_AT_ONCE):
        part = integers[start : min(start + _VALUES_PER_LINE * _LINES_AT_ONCE, whole)]
        yield _lines(part.reshape(-1, _VALUES_PER_LINE))
    if whole < len(integers):
        yield _lines(integers[None, whole:])


def _lines(rows: NDArray[Any]) -> str:
    """A line for each row of integers; those of few bits are looked up, since Python takes its time to print millions."""
    if rows.dtype.itemsize > 2:
        return "\n".join("    " + " ".join(map(str, row)) for row in rows.tolist())
    words = _words(rows.dtype)[np.ascontiguousarray(rows).view(f"u{rows.dtype.itemsize}")].reshape(len(rows), -1)
    starts = np.broadcast_to(np.frombuffer(b"\n   ", np.uint8), (len(rows), 4))
    letters = np.concatenate([starts, words], axis=1)
    text: bytes = letters[letters != 0].tobytes()
    return text[1:].decode()


@cache
def _words(dtype: np.dtype[Any]) -> NDArray[np.uint8]:
    """A space and the digits of each integer of a type, in order of their bits; zeros after them, [integers, letters]."""
    every = np.arange(1 << 8 * dtype.itemsize).astype(f"u{dtype.itemsize}").view(dtype)
    words = np.strings.add(b" ", every.astype("S"))
    return words.view(np.uint8).reshape(len(every), -1)


def _text(name: str) -> str:
    """A name from an untrusted file, on one line."""
    return name if name.isprintable() and name else repr(name)
