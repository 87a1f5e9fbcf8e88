"""Sums in accumulators that saturate after every product, as a branch of the graph: product by product, in a loop.

The branch is taken for data of which the graph cannot show that no partial sum leaves the limits; else the plain sums are
right, which are far faster.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from quaint.simulators.tracing_graph import Graph, Kind
    from quaint.simulators.tracing_values import Whole


@dataclass(frozen=True)
class Accumulator:
    """Where sums start and where they saturate, each laid against the results.

    Args:
        start: the value before the first product, within the limits.
        low: lower limit.
        high: upper limit.
    """

    start: Whole
    low: Whole
    high: Whole

    def reshaped(self, shape: Sequence[int]) -> Accumulator:
        """Constants of one for each output in another shape."""
        size = int(np.prod(shape))
        return Accumulator(
            *(np.broadcast_to(c.ravel(), size).reshape(shape) for c in (self.start, self.low, self.high))
        )


@dataclass
class Branch:
    """The nodes of a branch; what it takes from outside, constants included, is in the graph around it.

    Args:
        graph: that the branch is part of.
        kind: of all values in it.
        name: no other value's; those of the branch begin with it.
    """

    graph: Graph
    kind: Kind
    name: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """The name of what an operator makes of ``inputs``."""
        made = f"{self.name}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [made], **attributes))
        return made

    def integers(self, *values: int) -> str:
        """A vector of indices or sizes."""
        return self.graph.constant(np.asarray(values, np.int64))

    def reshaped(self, x: str, *shape: int) -> str:
        """``x`` in another shape."""
        return self.node("Reshape", x, self.integers(*shape))

    def closed(self, result: str) -> onnx.GraphProto:
        """The branch as a graph that gives ``result``."""
        made = helper.make_tensor_value_info(self.node("Identity", result), self.kind, None)
        return helper.make_graph(self.nodes, self.name, [], [made])

    def accumulated(self, first: str, second: str, accumulator: Accumulator) -> str:
        """The sums of products, which lie along the first axis of both factors."""
        zero = self.integers(0)
        constants = [self.graph.whole(c, self.kind) for c in (accumulator.start, accumulator.low, accumulator.high)]
        start, low, high = constants
        heads = [
            self.node("Squeeze", self.node("Slice", x, zero, self.integers(1), zero), zero) for x in (first, second)
        ]
        nothing = self.node("Mul", self.node("Mul", *heads), self.graph.constant(np.zeros((), self.kind.dtype)))
        state = self.node("Add", nothing, start)  # in the shape of the results
        return self.node("Scan", state, first, second, body=self._step(low, high), num_scan_inputs=2)

    def _step(self, low: str, high: str) -> onnx.GraphProto:
        """The body of the loop: a product is added, the sum saturates."""
        names = {key: f"{self.name}.{key}" for key in ("acc", "x", "y", "product", "sum", "least", "next")}
        made = [
            helper.make_node("Mul", [names["x"], names["y"]], [names["product"]]),
            helper.make_node("Add", [names["acc"], names["product"]], [names["sum"]]),
            helper.make_node("Max", [names["sum"], low], [names["least"]]),
            helper.make_node("Min", [names["least"], high], [names["next"]]),
        ]
        inputs = [helper.make_tensor_value_info(names[key], self.kind, None) for key in ("acc", "x", "y")]
        output = helper.make_tensor_value_info(names["next"], self.kind, None)
        return helper.make_graph(made, f"{self.name}.step", inputs, [output])


def reach_above(
    branch: Branch, x: str, weight: str, total: str, accumulator: Accumulator, attributes: dict[str, Any]
) -> str:
    """Whether a convolution's products of one sign alone would leave the limits: then a partial sum may.

    With the sums ``r`` of the magnitudes of all products, those of one sign sum up to ``(r + total - start) / 2`` and
    ``(r - total + start) / 2``.
    """
    reach = branch.node("Conv", branch.node("Abs", x), branch.node("Abs", weight), **attributes)
    plain = branch.node("Cast", total, to=int(branch.kind))
    rooms = (accumulator.start - 2 * accumulator.high, 2 * accumulator.low - accumulator.start)
    above, below = (branch.graph.whole(room, branch.kind) for room in rooms)
    sides = (
        branch.node("Add", branch.node("Add", reach, plain), above),
        branch.node("Add", branch.node("Sub", reach, plain), below),
    )
    largest = branch.node("ReduceMax", branch.node("Max", *sides), keepdims=0)
    return branch.node("Greater", largest, branch.graph.constant(np.zeros((), branch.kind.dtype)))


def conv_in_order(
    branch: Branch,
    x: str,
    weight: str,
    accumulator: Accumulator,
    shape: Sequence[int],
    steps: Sequence[int],
    attributes: dict[str, Any],
) -> str:
    """A convolution: by the kernel's positions, then by the input channels.

    Args:
        branch: where to.
        x: the map.
        weight: its filters.
        accumulator: constants of one for each output channel.
        shape: of the filters.
        steps: how many windows there are along each spatial axis.
        attributes: of the ONNX operator.
    """
    maps, channels, *kernel_shape = shape
    group, rank, taps = attributes["group"], len(steps), int(np.prod(kernel_shape))
    pads = attributes["pads"]
    if any(pads):
        x = branch.node("Pad", x, branch.integers(0, 0, *pads[:rank], 0, 0, *pads[rank:]))
    under = []
    for position in np.ndindex(*kernel_shape):
        starts = [p * d for p, d in zip(position, attributes["dilations"], strict=True)]
        ends = [a + (n - 1) * s + 1 for a, n, s in zip(starts, steps, attributes["strides"], strict=True)]
        bounds = (starts, ends, range(2, 2 + rank), attributes["strides"])
        seen = branch.node("Slice", x, *(branch.integers(*bound) for bound in bounds))
        under.append(branch.node("Unsqueeze", seen, branch.integers(0)))
    joined = branch.node("Concat", *under, axis=0)
    windows = int(np.prod(steps))
    split = branch.reshaped(joined, taps, -1, group, channels, windows)
    ordered = branch.node("Transpose", split, perm=[0, 3, 1, 2, 4])
    values = branch.reshaped(ordered, taps * channels, -1, group, 1, windows)
    grouped = branch.node("Transpose", branch.reshaped(weight, group, maps // group, channels, taps), perm=[3, 2, 0, 1])
    factors = branch.reshaped(grouped, taps * channels, 1, group, maps // group, 1)
    sums = branch.accumulated(values, factors, accumulator.reshaped([1, group, maps // group, 1]))
    return branch.reshaped(sums, -1, maps, *steps)


def matmul_in_order(branch: Branch, x: str, y: str, accumulator: Accumulator, ranks: tuple[int, int]) -> str:
    """A matrix product, by the axis that is summed over.

    Args:
        branch: where to.
        x: [..., M, K].
        y: [..., K, N].
        accumulator: constants laid along the last axis.
        ranks: of both.
    """
    first, second = ranks
    rows = branch.node("Transpose", x, perm=[first - 1, *range(first - 1)])
    columns = branch.node("Transpose", y, perm=[second - 2, *range(second - 2), second - 1])
    factors = branch.node("Unsqueeze", columns, branch.integers(-2))
    return branch.accumulated(branch.node("Unsqueeze", rows, branch.integers(-1)), factors, accumulator)
