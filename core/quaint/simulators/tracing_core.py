"""What all traced operations share: values, and constants laid against them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quaint.simulators.tracing_graph import Graph, Kind, Tensor
from quaint.simulators.tracing_operators import narrowed
from quaint.simulators.tracing_rounding import emit
from quaint.simulators.tracing_sources import Existing
from quaint.simulators.tracing_values import Interval, Real, Traced, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.simulators.tracing_values import Shape, Whole

    Array = NDArray[Any]

#: Integers or reals, the same in the result.
T = TypeVar("T", Traced, Real)


def broadcast(*shapes: Shape) -> Shape:
    """The shape of an elementwise operation; the batch broadcasts against 1 only."""
    rank = max(len(shape) for shape in shapes)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    sizes: list[int | None] = []
    for axis in zip(*padded, strict=True):
        others = {size for size in axis if size != 1} or {1}
        if len(others) > 1:
            raise ValueError(f"shapes do not broadcast: {shapes}")
        sizes.append(others.pop())
    return tuple(sizes)


class Emitter:
    """Emits values into a graph, each once.

    Args:
        graph: where nodes go.
        fast: fold scales into weights, and round feature maps in onnxruntime's blocked layout; otherwise plain operators
            on the integers given.
    """

    def __init__(self, graph: Graph, *, fast: bool) -> None:
        self.graph = graph
        self._fast = fast
        self._emitted: dict[Traced, Tensor] = {}

    def value(self, name: str, shape: Shape, interval: Interval, kind: Kind) -> Traced:
        """A tensor of the graph that holds integers."""
        return Traced(shape, Existing(narrowed(self.graph, Tensor(name, kind), interval), interval))

    def tensor(self, x: Traced) -> Tensor:
        """``x`` in the graph, with nothing pending."""
        if x not in self._emitted:
            if isinstance(x.source, Existing) and not x.settled and not x.bias.any():
                self._emitted[x] = x.source.value
            else:
                self._emitted[x] = emit(self.graph, x, fast=self._fast)
        return self._emitted[x]

    def shape(self, x: Traced | Real) -> Shape:
        """Shape of ``x``; None for the batch."""
        return x.shape

    def _as(self, x: Traced, kind: Kind) -> str:
        """The name of ``x`` as ``kind``."""
        return self.graph.converted(self.tensor(x), kind).name

    def _moved(self, x: T, shape: Shape, op: str, *inputs: str, **attributes: Any) -> T:
        """``x`` through an operator that copies numbers."""
        if isinstance(x, Real):
            return Real(shape, self.graph.node(op, x.name, *inputs, **attributes), x.kind)
        tensor = self.tensor(x)
        name = self.graph.node(op, tensor.name, *inputs, **attributes)
        return self.made(shape, Tensor(name, tensor.kind), x.interval.hull())

    def made(self, shape: Shape, tensor: Tensor, interval: Interval) -> Traced:
        """A tensor just emitted."""
        return Traced(shape, Existing(tensor, interval))

    def _grown(self, x: Traced, constant: Array) -> Traced:
        """``x`` in the shape that an operation with a constant gives it."""
        shape = broadcast(x.shape, constant.shape)
        if shape == tuple(x.shape):
            return x
        target = self.graph.constant(np.asarray([size or 1 for size in shape], np.int64))
        return self._moved(x, shape, "Expand", target)

    def _settled(self, x: Traced) -> Traced:
        """``x`` with nothing pending."""
        return self.made(x.shape, self.tensor(x), x.interval)

    def _laid(self, constant: Any, rank: int, axis: int | None) -> Array:
        """A constant in its own type, a vector laid along ``axis`` of ``rank`` axes."""
        array = np.asarray(constant)
        if array.ndim == 1 and axis is not None:
            array = array.reshape([-1 if i == axis % rank else 1 for i in range(rank)])
        return self.graph.shaped(constant, array)

    def _whole(self, constant: Any, rank: int, axis: int | None) -> Whole:
        """An integer constant as Python integers, laid likewise."""
        laid = self._laid(constant, rank, axis)
        return self.graph.shaped(laid, whole(laid))
