"""A node of a file with all that is known of its tensors: what turning it into a layer looks at."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.errors import QuaintError
from quaint.frontends.limits import Limits
from quaint.integer import Layer
from quaint.numerics import IntType, QuantParams
from quaint_espdl.file.elements import DataType, EspdlTensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from quaint_espdl.file.elements import EspdlGraph, EspdlNode
    from quaint_espdl.reading.chips import Chip

    Array = NDArray[Any]

#: The integers that variables hold; a truth value is an unsigned one of one bit.
INTEGERS = {
    DataType.INT8: IntType(8, signed=True),
    DataType.INT16: IntType(16, signed=True),
    DataType.BOOL: IntType(1, signed=False),
}


class Unsupported(Exception):  # noqa: N818 - a reason, gathered into one error
    """A node that cannot be run exactly, and why."""


@dataclass(frozen=True)
class Edge:
    """A tensor that a node reads or makes.

    Args:
        name: in the file.
        dims: in the runtime's layout; a scalar has one axis.
        dtype: of its elements.
        exponents: of two, of its scales.
        tensor: what it holds, if it is constant.
    """

    name: str
    dims: tuple[int, ...]
    dtype: DataType
    exponents: tuple[int, ...]
    tensor: EspdlTensor | None = None

    @property
    def is_real(self) -> bool:
        """Whether it holds floats."""
        return self.dtype is DataType.FLOAT

    @property
    def integers(self) -> IntType:
        """The integers that it holds.

        Raises:
            Unsupported: for any other type.
        """
        if self.dtype not in INTEGERS:
            raise Unsupported(f"tensor '{self.name}' holds {self.dtype.name}")
        return INTEGERS[self.dtype]

    @property
    def exponent(self) -> int:
        """Its only exponent; 0 for floats.

        Raises:
            Unsupported: if there are several.
        """
        found = set(self.exponents) or {0}
        if len(found) > 1:
            raise Unsupported(f"tensor '{self.name}' has {len(self.exponents)} exponents")
        return 0 if self.is_real else found.pop()

    @property
    def scale(self) -> float:
        """``2 ** exponent``."""
        return math.ldexp(1.0, self.exponent)

    @property
    def array(self) -> Array:
        """The numbers of a constant that lie in plain order; integers as int64.

        Raises:
            Unsupported: if it is not constant.
        """
        if self.tensor is None:
            raise Unsupported(f"'{self.name}' is not constant")
        values = self.tensor.array
        return values if values.dtype.kind == "f" else values.astype(np.int64)

    @property
    def params(self) -> QuantParams | None:
        """How it is quantized; None for floats."""
        return None if self.is_real else QuantParams(np.asarray(self.scale), self.integers)


class Node:
    """A node on a chip.

    Args:
        node: as the file has it.
        edges: every tensor of the graph, by name.
        chip: that runs it.
    """

    def __init__(self, node: EspdlNode, edges: Mapping[str, Edge], chip: Chip) -> None:
        self.node, self.chip, self._edges = node, chip, edges
        self.op_type, self.attributes = node.op_type, node.attributes
        self.inputs = tuple(edges[name] if name else None for name in node.inputs)
        self.outputs = tuple(edges[name] for name in node.outputs)

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.node.name or next(iter(self.node.outputs), "")

    def input(self, index: int) -> Edge:
        """An input that must be there.

        Raises:
            Unsupported: if it is not.
        """
        edge = self.optional(index)
        if edge is None:
            raise Unsupported(f"input {index} is missing")
        return edge

    def optional(self, index: int) -> Edge | None:
        """An input that may be left out: by its absence, an empty name, or no elements."""
        edge = self.inputs[index] if index < len(self.inputs) else None
        return None if edge is None or (edge.tensor is None and 0 in edge.dims) else edge

    @property
    def output(self) -> Edge:
        """The first output."""
        return self.outputs[0]

    def check(self) -> None:
        """Whether all variables hold numbers that can be told of.

        Raises:
            Unsupported: if one holds others.
            ValueError: if its scale is none.
        """
        for edge in (*self.inputs, *self.outputs):
            if edge is not None and edge.tensor is None and 0 not in edge.dims:
                _ = edge.params

    def corrected(self, layer: Layer) -> dict[str, Edge]:
        """Outputs whose sizes the file has wrong, and the runtime works out: those of a Transpose or Gather."""
        dims = self.output.dims
        if self.op_type == "Transpose":
            dims = tuple(self.input(0).dims[axis] for axis in self.attributes["perm"])
        elif self.op_type == "Gather":
            dims = tuple(layer.attributes["shape"])
        return {} if dims == self.output.dims else {self.output.name: replace(self.output, dims=dims)}

    def table(self) -> Array | None:
        """The entries of the node's table; in 16 bits the runtime looks at tables only in nodes of type LUT."""
        name = self.attributes.get("lut")
        if name is None or (self.input(0).dtype is not DataType.INT8 and self.op_type != "LUT"):
            return None
        return self._edges[name].array

    def limits(self) -> dict[str, int]:
        """``low`` and ``high`` of the output's integers, 0 at the least after a fused ReLU."""
        kind = self.output.integers
        low = 0 if self.attributes.get("activation") == "Relu" else kind.low
        return {"low": low, "high": kind.high}

    def stage(self, exponent: int | Array) -> dict[str, Any]:
        """The output stage of an accumulator whose scale is ``2 ** exponent``: constants and attributes of ``requantize``."""
        shift = np.asarray(self.output.exponent - np.asarray(exponent), np.int64)
        return {"shift": shift, "rounding": str(self.chip.rounding), **self.limits()}

    def float_stage(self) -> dict[str, Any]:
        """The output stage of float arithmetic."""
        rounding = {"rounding": str(self.chip.rounding)}
        if self.output.is_real:
            return {"out_scale": None, "low": 0, "high": 0, **rounding}
        return {"out_scale": self.output.scale, **self.limits(), **rounding}

    def layer(self, op: str, *inputs: Edge, **options: Any) -> Layer:
        """A layer of this node; arrays among the options are constants.

        Args:
            op: name of the kernel.
            inputs: variables; all those of the node if none is given.
            options: constants and attributes of the kernel.
        """
        read = inputs or tuple(edge for edge in self.inputs if edge is not None and edge.tensor is None)
        constants = {key: value for key, value in options.items() if isinstance(value, np.ndarray)}
        attributes = {key: value for key, value in options.items() if key not in constants}
        made = tuple(edge.name for edge in self.outputs)
        names = tuple(edge.name for edge in read)
        return Layer(op, names, made, constants, attributes, self.name, (self.name,))


def edges_of(graph: EspdlGraph) -> dict[str, Edge]:
    """Every tensor of a graph by name.

    Raises:
        QuaintError: QM104 for a variable whose size the file leaves open, QM131 for one that is too large.
    """
    edges: dict[str, Edge] = {}
    for info in (*graph.value_info, *graph.inputs, *graph.outputs):
        if not all(isinstance(size, int) for size in info.dims):
            raise QuaintError("QM104", f"a size is not known: {list(info.dims)}", where=f"tensor '{info.name}'")
        dims = tuple(map(int, info.dims)) or (1,)
        Limits().check_tensor(math.prod(dims) * info.dtype.numpy.itemsize, f"tensor '{info.name}'", graph.name)
        edges[info.name] = Edge(info.name, dims, info.dtype, info.exponents)
    for tensor in graph.initializers:
        edges[tensor.name] = Edge(tensor.name, tensor.dims, tensor.dtype, tensor.exponents, tensor)
    return edges
