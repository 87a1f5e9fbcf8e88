"""Cross-layer equalization: the same function with weights whose channels have similar ranges.

Between two layers with only ReLU, pooling or movement within channels, channel i of the first may be divided by ``s_i`` if the
second multiplies its input i by it: ``relu(x / s) * s = relu(x)`` for ``s > 0``. The best scale makes both ranges equal,
``s_i = sqrt(r1_i / r2_i)``. Source: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019, section 4.1. Here the range of an outgoing channel includes its bias: a channel of tiny weights that
gives its bias alone would otherwise be scaled up until that bias leaves everybody's range.

A bounded activation such as ReLU6 cuts channel i at ``6 / s_i``, but a chip has one bound for all channels. Nagel et al. drop the
bound, which changes the function wherever it was reached. Here the bound stays and samples limit the scales: a channel
that reaches it, or nearly so, keeps its scale, and any other is scaled up only as far as it remains below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.floatmodel import FloatModel
from quaint.quantizers.ranges import Ranges
from quaint.quantizers.weights import (
    WEIGHTED,
    along,
    array,
    by_input,
    by_output,
    channels,
    depthwise,
    input_axis,
    output_axis,
    private,
    replace,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.partition import Plan

    Floats = NDArray[np.float64]

#: What may stand between two layers: functions f with f(x * s) = f(x) * s for s > 0, channel by channel.
HOMOGENEOUS = frozenset({"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten"})
MAX_ROUNDS = 20
#: A round that changes no scale by more than this is the last.
CONVERGED = 0.01
#: Scales stay within this factor: beyond it a channel is dead rather than small.
LIMIT = 2.0**8
#: Samples that tell how far channels reach below a bound.
SAMPLES = 32
#: By how much other samples may exceed the largest value of a channel that was seen.
MARGIN = 1.5


class Equalize(Ranges):
    """Equalizes weights, then chooses scales from the ranges."""

    samples = SAMPLES

    def prepare(self, plan: Plan, samples: Mapping[str, NDArray[Any]]) -> None:
        """Scale the weights of every pair in turn until nothing changes."""
        nodes = [node for block in plan.blocks for node in block.nodes]
        pairs = [pair for node in nodes if (pair := _pair(node, set(nodes))) is not None]
        _limit(plan.model, pairs, samples)
        for _ in range(MAX_ROUNDS):
            if max((pair.equalize() for pair in pairs), default=0.0) < CONVERGED:
                break
        super().prepare(plan, samples)


@dataclass
class _Pair:
    """Two layers with weights, where only the second reads the first.

    Args:
        first: layer whose output channels are divided.
        second: layer whose input channels are multiplied.
        bound: upper bound of what stands between them.
    """

    first: ir.Node
    second: ir.Node
    bound: float

    def __post_init__(self) -> None:
        self.total = np.ones(channels(self.first))
        self.least, self.most = self.total / LIMIT, self.total * LIMIT

    def limit(self, peak: Floats) -> None:
        """Keep the function as it is for samples of which channel i before the bound is at most ``peak[i]``."""
        reach = MARGIN * peak / self.bound
        self.least = np.clip(reach, self.least, 1.0)
        self.most[reach >= 1] = 1.0

    def equalize(self) -> float:
        """Even out the ranges of both sides; returns the largest change on the logarithmic scale."""
        before, bias, after = array(self.first, 1), array(self.first, 2), array(self.second, 1)
        outgoing = np.maximum(by_output(self.first).max(axis=1), np.abs(bias))
        incoming = by_input(self.second, len(outgoing)).max(axis=1)
        alive = (outgoing > 0) & (incoming > 0)
        scale = np.where(alive, np.sqrt(outgoing / np.where(alive, incoming, 1)), 1.0)
        total = np.clip(self.total * scale, self.least, self.most)
        scale, self.total = total / self.total, total
        replace(self.first, 1, before / along(scale, before.ndim, output_axis(self.first)))
        replace(self.first, 2, bias / scale)
        axis = input_axis(self.second)
        replace(self.second, 1, after * along(np.repeat(scale, after.shape[axis] // len(scale)), after.ndim, axis))
        return float(np.abs(np.log(scale)).max())


def _limit(model: ir.Model, pairs: Sequence[_Pair], samples: Mapping[str, NDArray[Any]]) -> None:
    """Limit the scales of pairs with a bound by the largest values before it, one sample at a time."""
    bounded = {pair.first.outputs[0].name or "": pair for pair in pairs if pair.bound < math.inf}
    if not bounded:
        return
    real = FloatModel(model, tuple(bounded))
    peaks = {name: np.zeros(channels(pair.first)) for name, pair in bounded.items()}
    for i in range(min(SAMPLES, len(next(iter(samples.values()))))):
        for name, values in real.run({key: value[i : i + 1] for key, value in samples.items()}).items():
            others = tuple(axis for axis in range(values.ndim) if axis != 1)
            peaks[name] = np.maximum(peaks[name], values.max(axis=others))
    for name, pair in bounded.items():
        pair.limit(peaks[name])


def _pair(first: ir.Node, inside: set[ir.Node]) -> _Pair | None:
    """The pair that starts with ``first``; None where more than homogeneous functions and bounds stand between."""
    if first.op_type not in WEIGHTED or not private(first):
        return None
    if graph.attribute(first, "group", 1) not in {1, channels(first)}:
        return None
    node, bound = first, math.inf
    while True:
        out = node.outputs[0]
        users = [user for user, _ in out.uses()]
        if len(users) != 1 or out.is_graph_output() or users[0] not in inside:
            return None
        node = users[0]
        if node.op_type in WEIGHTED:
            plain = graph.attribute(node, "group", 1) == 1 or depthwise(node)
            return _Pair(first, node, bound) if plain and private(node) else None
        if node.op_type == "Clip":
            high = _bound(node)
            if high is None:
                return None
            bound = min(bound, high)
        elif node.op_type not in HOMOGENEOUS:
            return None


def _bound(clip: ir.Node) -> float | None:
    """Upper bound of a Clip from 0; None for any other."""
    low, high = (graph.scalar(clip.inputs[i]) if len(clip.inputs) > i else None for i in (1, 2))
    return high if low == 0 and high is not None and high > 0 else None
