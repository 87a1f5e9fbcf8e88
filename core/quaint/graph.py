"""Small helpers over ``onnx_ir``: read a graph (constants, shapes, attributes, neighbours) and edit it safely."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

#: A dimension: an extent, the name of a symbolic one, or None where nothing is known.
Dim = int | str | None


def constant(value: ir.Value | None) -> np.ndarray | None:
    """The array that ``value`` always holds (an initializer or a ``Constant``), or None."""
    if value is None or value.is_graph_input():
        return None
    tensor = ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def scalar(value: ir.Value | None) -> float | None:
    """The number that ``value`` always holds, if it is a constant with one element, or None."""
    array = constant(value)
    return None if array is None or array.size != 1 or array.dtype.kind not in "fiub" else float(array.reshape(()))


def dims(value: ir.Value | None) -> tuple[Dim, ...] | None:
    """The dimensions of ``value``: ints, names of symbolic ones, None for unknown ones; None without a rank."""
    if value is None or value.shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape)


def sample_bytes(value: ir.Value) -> int:
    """Bytes of one sample of a float32 tensor, whose first axis is the batch; unknown sizes count as 1."""
    return 4 * math.prod(n for n in (dims(value) or ())[1:] if isinstance(n, int))


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """The shape of ``value`` if every dimension is a known int, or None."""
    shape = dims(value)
    if shape is None:
        return None
    known = tuple(dim for dim in shape if isinstance(dim, int))
    return known if len(known) == len(shape) else None


def rank(value: ir.Value | None) -> int | None:
    """The number of dimensions of ``value``, or None."""
    return None if value is None or value.shape is None else len(value.shape)


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    """The value of an attribute (lists as tuples), or ``default`` where it is absent."""
    found = node.attributes.get(name)
    if found is None or found.is_ref() or found.value is None:
        return default
    return tuple(found.value) if isinstance(found.value, Sequence) and not isinstance(found.value, str) else found.value


def is_op(node: ir.Node | None, *op_types: str) -> bool:
    """Whether ``node`` is one of these operators of the default domain."""
    return node is not None and node.domain == "" and node.op_type in op_types


def producer(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The node that computes ``value``, if it is one of ``op_types`` (any, if none are given)."""
    node = None if value is None else value.producer()
    return node if node is not None and (not op_types or is_op(node, *op_types)) else None


def sole_consumer(value: ir.Value) -> ir.Node | None:
    """The only node that reads ``value`` (once), in the same graph; None if it is a graph output or read elsewhere."""
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    node = next(iter(uses)).node
    owner = value.producer()
    return node if owner is None or node.graph is owner.graph else None


def input_at(node: ir.Node, index: int) -> ir.Value | None:
    """Input ``index`` of a node, None where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def other_input(node: ir.Node, value: ir.Value) -> ir.Value | None:
    """The operand of a binary node that is not ``value``; None if both are."""
    rest = [operand for operand in node.inputs if operand is not value]
    return rest[0] if len(node.inputs) == 2 and len(rest) == 1 else None


class GraphEditor:
    """Edits the main graph of a model; every new node and value gets a unique, deterministic name.

    A value that is replaced hands its name to its replacement, so names keep standing for the same numbers.
    """

    def __init__(self, model: ir.Model) -> None:
        self.load(model)

    def load(self, model: ir.Model) -> None:
        """Go on with another model."""
        self.model, self.graph = model, model.graph
        self._values = Counter(value.name for value in self.all_values())
        self._nodes = Counter(node.name for node in self.graph.all_nodes())

    def all_values(self) -> Iterator[ir.Value]:
        """Every value of the graph and of its subgraphs, each once."""
        for graph in (self.graph, *self.graph.subgraphs()):
            seen = dict.fromkeys([*graph.inputs, *graph.initializers.values()])
            yield from seen
            yield from (value for node in graph for value in node.outputs)

    def nodes(self, *op_types: str) -> Iterator[ir.Node]:
        """The nodes of the default domain (of these types) in order; safe while the graph is changed."""
        for node in tuple(self.graph):
            if node.graph is self.graph and node.domain == "" and (not op_types or node.op_type in op_types):
                yield node

    def value_name(self, base: str | None) -> str:
        """A new value name: ``base``, or ``base_1``, ``base_2``, ... where that is taken."""
        return _unique(base or "value", self._values)

    def node_name(self, base: str | None) -> str:
        """A new node name: ``base``, or ``base_1``, ``base_2``, ... where that is taken."""
        return _unique(base or "node", self._nodes)

    def adopt_value_name(self, name: str | None) -> str:
        """The name in the main graph for a value of a subgraph: its own, if no other value has it."""
        return name if name and self._values[name] == 1 else self.value_name(name)

    def adopt_node_name(self, name: str | None) -> str:
        """The name in the main graph for a node of a subgraph: its own, if no other node has it."""
        return name if name and self._nodes[name] == 1 else self.node_name(name)

    def constant(self, array: np.ndarray, name: str) -> ir.Value:
        """A new initializer named ``name`` (or the like) that holds ``array``."""
        tensor = ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), name=self.value_name(name))
        value = ir.Value(name=tensor.name, type=ir.TensorType(tensor.dtype), shape=tensor.shape, const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def move_before(self, node: ir.Node, before: ir.Node) -> ir.Node:
        """Change the order of two nodes, of which ``node`` alone reads ``before``; gives the one that then stands first.

        Their names go with them.
        """
        source, result = before.inputs[0], node.outputs[0]
        assert source is not None
        self.replace(result, before.outputs[0])
        attributes = {name: attribute(node, name) for name in node.attributes}
        inputs = [source, *node.inputs[1:]]
        moved = self.insert(node.op_type, inputs, attributes, before=before, name=result.name, like=source)
        first = moved.producer()
        assert first is not None
        self.swap_names(node, first)
        before.replace_input_with(0, moved)
        self.erase(node)
        return first

    def set_constant(self, node: ir.Node, index: int, array: np.ndarray) -> None:
        """Give ``node`` another constant as an input; other readers of the old one keep the old one."""
        old = node.inputs[index]
        assert old is not None
        if len(old.uses()) > 1 or old.is_graph_output() or not old.is_initializer():
            node.replace_input_with(index, self.constant(array, old.name or "constant"))
            return
        tensor = ir.Tensor(np.ascontiguousarray(array).reshape(array.shape), name=old.name)
        old.const_value, old.shape, old.type = tensor, tensor.shape, ir.TensorType(tensor.dtype)

    def insert(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        *,
        before: ir.Node,
        name: str | None,
        like: ir.Value,
        shape: Sequence[Dim] | None = None,
    ) -> ir.Value:
        """Insert a node with one output before another node.

        Args:
            op_type: an operator of the default domain.
            inputs: its inputs, None for one that is left out.
            attributes: its attributes.
            before: the node in front of which it goes.
            name: its name (made unique) and that of its output.
            like: the value whose type and, without ``shape``, whose shape the output has.
            shape: the dimensions of the output.

        Returns:
            The output.
        """
        out_shape = ir.Shape(shape) if shape is not None else None if like.shape is None else like.shape.copy()
        output = ir.Value(name=self.value_name(name), type=like.type, shape=out_shape)
        node = ir.node(op_type, inputs, attributes or {}, outputs=[output], name=self.node_name(name))
        self.graph.insert_before(before, node)
        return output

    def retype(
        self,
        node: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
    ) -> ir.Node:
        """Let another operator compute the (one) output of ``node``, under the node's name."""
        old = node.outputs[0]
        output = ir.Value(name=self.value_name(old.name), type=old.type, shape=old.shape)
        new = ir.node(op_type, inputs, attributes or {}, outputs=[output], name=node.name)
        self.graph.insert_before(node, new)
        self.replace(old, output)
        self.erase(node)
        return new

    def replace(self, old: ir.Value, new: ir.Value) -> None:
        """Let ``new``, the output of a node, stand for ``old`` everywhere, under the name of ``old``."""
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        old.name, new.name = new.name, old.name

    def swap_names(self, one: ir.Node, other: ir.Node) -> None:
        """Let two nodes exchange their names."""
        one.name, other.name = other.name, one.name

    def bypass(self, node: ir.Node, source: ir.Value) -> bool:
        """Remove ``node``, whose first output equals ``source``; the names of graph outputs are kept.

        Where ``source`` cannot take the name of a graph output (it is itself a graph input, output or constant), an
        ``Identity`` stays.

        Returns:
            Whether the graph changed.
        """
        output = node.outputs[0]
        if not output.is_graph_output():
            output.replace_all_uses_with(source)
        elif source.producer() is not None and not source.is_graph_output():
            self.replace(output, source)
        elif is_op(node, "Identity"):
            return False
        else:
            self.retype(node, "Identity", [source])
            return True
        self.erase(node)
        return True

    def erase(self, node: ir.Node) -> None:
        """Remove ``node``, which nobody reads, and all nodes that were there only for it."""
        pending = [node]
        while pending:
            dead = pending.pop()
            if dead.graph is not self.graph or any(value.uses() or value.is_graph_output() for value in dead.outputs):
                continue
            sources = dead.predecessors()
            self.graph.remove(dead, safe=True)
            pending.extend(sources)


def _unique(base: str, taken: Counter[str | None]) -> str:
    """``base`` with the first free suffix; the name is taken from then on."""
    name, number = base, 0
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    taken[name] += 1
    return name
