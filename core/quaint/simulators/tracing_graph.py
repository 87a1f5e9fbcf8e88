"""A graph of stock ONNX operators under construction."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, compose, helper

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import onnx
    from numpy.typing import NDArray

    Array = NDArray[Any]

#: The version of the default operator domain that graphs are written in.
OPSET = 21

#: IR version of the files, as old as their operators and metadata allow.
IR_VERSION = 10

#: Sums of products, and what optimizers join with them; see ``Graph.fenced``.
_FUSIBLE = frozenset({"Conv", "ConvTranspose", "MatMul", "Add", "Sub", "Mul", "Div"})


class Untraceable(Exception):  # noqa: N818 - names what the operation is
    """An operation has no form in ONNX that is proven exact."""


class Kind(enum.IntEnum):
    """How whole numbers are carried in a graph; the value is ONNX's number of the type."""

    FLOAT32 = TensorProto.FLOAT
    FLOAT64 = TensorProto.DOUBLE
    INT64 = TensorProto.INT64

    @property
    def limit(self) -> int:
        """All whole numbers of no larger magnitude are exact."""
        return {Kind.FLOAT32: 1 << 24, Kind.FLOAT64: 1 << 53, Kind.INT64: (1 << 63) - 1}[self]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy type."""
        return np.dtype({Kind.FLOAT32: np.float32, Kind.FLOAT64: np.float64, Kind.INT64: np.int64}[self])

    @classmethod
    def holding(cls, magnitude: int) -> Kind:
        """The fastest kind in which arithmetic up to ``magnitude`` is exact.

        Raises:
            Untraceable: if none is.
        """
        for kind in (cls.FLOAT32, cls.FLOAT64, cls.INT64):
            if magnitude <= kind.limit:
                return kind
        raise Untraceable(f"numbers up to {magnitude} do not fit 64 bits")


@dataclass(frozen=True)
class Tensor:
    """A value in the graph that holds whole numbers exactly."""

    name: str
    kind: Kind


class Graph:
    """Nodes and constants; the same operation on the same values is emitted once.

    Args:
        given: constants that the graph need not hold because a value holds them: ``id`` of the array to the value's name.
            The caller keeps the arrays alive.
    """

    def __init__(self, given: Mapping[int, str] | None = None) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self._given = dict(given or {})
        self._alive: list[Array] = []
        self._factors: dict[str, tuple[str, Array]] = {}
        self._known: dict[Any, str] = {}
        self._producers: dict[str, str] = {}

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """The name of what an operator with one output makes of ``inputs``; emitted unless it has been."""
        key = op, inputs, repr(sorted(attributes.items()))
        if key not in self._known:
            self._known[key] = self.fresh(op, *inputs, **attributes)
        return self._known[key]

    def fresh(self, op: str, *inputs: str, **attributes: Any) -> str:
        """The same, emitted in any case, so that the name is nobody else's."""
        name = f"_v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        self._producers[name] = op
        return name

    def inline(self, model: onnx.ModelProto, inputs: Sequence[str]) -> list[str]:
        """Take over the nodes of a model; the names of its outputs.

        Raises:
            Untraceable: if it has functions, or operators of other sets.
        """
        if model.functions or {entry.domain: entry.version for entry in model.opset_import} != {"": OPSET}:
            raise Untraceable(f"a float model with more than operators of opset {OPSET}")
        graph = compose.add_prefix(model, f"_v{len(self.nodes)}.").graph
        for value, name in zip(graph.input, inputs, strict=True):
            self.nodes.append(helper.make_node("Identity", [name], [value.name]))
        self.nodes += [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in graph.initializer]
        self.nodes += graph.node
        return [value.name for value in graph.output]

    def needed(self, outputs: Iterable[str]) -> list[onnx.NodeProto]:
        """The nodes that make ``outputs``, in order: what was begun and given up is left out."""
        wanted = set(outputs)
        kept: list[onnx.NodeProto] = []
        for node in reversed(self.nodes):
            if not wanted.isdisjoint(node.output):
                kept.append(node)
                wanted.update(_read(node))
        return kept[::-1]

    def constant(self, array: Array) -> str:
        """The name of a value that holds ``array`` in its own type."""
        array = np.asarray(array)
        digest = hashlib.sha256(np.ascontiguousarray(array).data).digest()
        key = array.dtype.str, array.shape, digest
        if key not in self._known:
            name = f"_c{len(self.constants)}"
            self.constants[name] = array
            self._known[key] = name
        return self._known[key]

    def shaped(self, original: Any, array: Array) -> Array:
        """``array``, known to hold the same numbers as ``original`` in a shape of its own."""
        name = self._given.get(id(original))
        if name is not None and array is not original:
            if array.size > 1 and array.shape != np.shape(original):
                name = self.node("Reshape", name, self.constant(np.asarray(array.shape, np.int64)))
            self._given[id(array)] = name
            self._alive.append(array)
        return array

    def whole(self, array: Array, kind: Kind) -> str:
        """The name of a value of ``kind`` that holds the integers ``array``."""
        if id(array) in self._given:
            return self.cast(self._given[id(array)], kind)
        return self.constant(array.astype(kind.dtype))

    def real(self, array: Array) -> str:
        """The name of a value that holds the float32 ``array``."""
        return self._given.get(id(array)) or self.constant(array.astype(np.float32))

    def float_constant(self, array: Array, kind: Kind) -> str:
        """The name of a value that holds the floats ``array`` as ``kind``, which is their type."""
        if array.dtype != kind.dtype:
            raise TypeError(f"{array.dtype} among {kind.dtype}")
        return self._given.get(id(array)) or self.constant(array)

    def without_negative_zero(self, tensor: Tensor) -> Tensor:
        """``tensor`` where no zero has a sign, which roundings and products leave and a division by it would show."""
        if tensor.kind is Kind.INT64 or self._producers.get(tensor.name) == "Cast":
            return tensor
        return Tensor(self.cast(tensor.name, Kind.INT64), Kind.INT64)

    def kept_apart(self, name: str) -> str:
        """``name`` such that onnxruntime does not make one division of an inverse and the product that follows.

        The largest of one tensor is that tensor, whatever it holds.
        """
        return self.node("Max", name) if self._producers.get(name) == "Div" else name

    def times(self, tensor: Tensor, factor: Array) -> Tensor:
        """``tensor`` times integers; a scale that follows is taken together with them."""
        name = self.node("Mul", tensor.name, self.whole(factor, tensor.kind))
        if tensor.kind is not Kind.INT64:
            self._factors[name] = tensor.name, factor.astype(np.float64)
        return Tensor(name, tensor.kind)

    def takes_scale(self, tensor: Tensor, bits: Array) -> bool:
        """Whether ``scaled_down`` scales a factor instead of ``tensor``, which nothing could move then."""
        return tensor.name in self._factors and id(bits) not in self._given

    def scaled_down(self, tensor: Tensor, bits: Array) -> Tensor:
        """``tensor * 2**-bits`` in a float kind."""
        if id(bits) not in self._given:
            name, factor = self._factors.get(tensor.name, (tensor.name, np.ones(1)))
            scale = factor * np.exp2(-bits.astype(np.float64))
            return Tensor(self.node("Mul", name, self.constant(scale.astype(tensor.kind.dtype))), tensor.kind)
        one = self.constant(np.ones(1, np.uint64))
        power = self.node("BitShift", one, self.cast(self._given[id(bits)], TensorProto.UINT64), direction="LEFT")
        return Tensor(self.node("Div", tensor.name, self.cast(power, tensor.kind)), tensor.kind)

    def cast(self, name: str, to: int) -> str:
        """``name`` as another ONNX type."""
        return self.node("Cast", name, to=int(to))

    def converted(self, tensor: Tensor, kind: Kind) -> Tensor:
        """``tensor`` as ``kind``, which the caller knows to hold it."""
        return tensor if tensor.kind is kind else Tensor(self.cast(tensor.name, kind), kind)

    def fenced(self, tensor: Tensor) -> Tensor:
        """``tensor`` such that no optimizer moves the next operator into the sum of products that made it.

        Onnxruntime folds a multiplication after a convolution into its weights, and adds tensors while it convolves, both
        of which would change roundings or partial sums. A clip that changes nothing keeps them apart.
        """
        if self._producers.get(tensor.name) not in _FUSIBLE:
            return tensor
        limit = self.constant(np.asarray(tensor.kind.limit, tensor.kind.dtype))
        lowest = self.constant(np.asarray(-tensor.kind.limit, tensor.kind.dtype))
        return Tensor(self.node("Clip", tensor.name, lowest, limit), tensor.kind)


def _read(node: onnx.NodeProto) -> Iterator[str]:
    """Names that a node reads, those in its branches and bodies included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _read(inner)
        yield from (value.name for value in attribute.g.output)
