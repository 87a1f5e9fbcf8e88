"""What the runtime does with a file that its exporter hardly meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint_espdl.reading.view import edges_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quaint_espdl.file.elements import EspdlGraph

#: Operators whose kernels look at no exponent: integers are copied, added or compared as they are.
RAW = frozenset(
    {
        *("Add", "Sub", "Max", "Min", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"),
        *("Concat", "Split", "Slice", "Pad", "Gather", "ScatterND", "Transpose", "Reshape", "Flatten", "Squeeze"),
        *("Unsqueeze", "Identity", "DepthToSpace", "SpaceToDepth", "InsertZeros", "ReverseSequence"),
        *("MaxPool", "ReduceMax", "ReduceMin", "StreamingCache"),
    }
)


def doubts(graph: EspdlGraph) -> Iterator[str]:
    """Warnings about a graph.

    Exponents that differ in an operator that does not rescale come from exporters that left a RequantizeLinear out; the
    chip, and the simulators, go by the integers.
    """
    edges = edges_of(graph)
    found = []
    for node in graph.nodes:
        read = (edges[name] for name in (*node.inputs, *node.outputs) if name in edges)
        scales = {edge.exponents[0] for edge in read if edge.exponents and edge.dtype.name in {"INT8", "INT16"}}
        if node.op_type in RAW and len(scales) > 1:
            listed = ", ".join(f"2**{exponent}" for exponent in sorted(scales))
            found.append(f"{node.name or node.outputs[0]} ({node.op_type}: {listed})")
    if found:
        nodes = "1 node mixes" if len(found) == 1 else f"{len(found)} nodes mix"
        yield (
            f"{nodes} scales without a RequantizeLinear, and the runtime does not rescale: the simulators show what the "
            f"chip computes, which is off by powers of two, from {found[0]} on"
        )
