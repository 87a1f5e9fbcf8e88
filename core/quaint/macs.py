"""Multiply-accumulates, counted on the float model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quaint import graph

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    import onnx_ir as ir


#: Operators that multiply and accumulate.
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def macs_of(model: ir.Model, names: Container[str | None]) -> int:
    """Multiply-accumulates for one sample of the nodes with these names."""
    return macs(node for node in model.graph if node.name in names)


def macs(nodes: Iterable[ir.Node]) -> int:
    """Multiply-accumulates of nodes for one sample; biases and activations are not counted."""
    return sum(map(_macs, nodes))


def _macs(node: ir.Node) -> int:
    """Outputs times the length of the sum behind each; for a transposed convolution, inputs times what each adds to."""
    if node.op_type not in PRODUCTS:
        return 0
    x, weight = (
        tuple(size if isinstance(size, int) else 1 for size in graph.dims(value) or ()) for value in node.inputs[:2]
    )
    out = tuple(size if isinstance(size, int) else 1 for size in graph.dims(node.outputs[0]) or ())
    if node.op_type == "Conv":
        return math.prod(out[1:]) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(x[1:]) * math.prod(weight[1:])
    return math.prod(out[1:]) * x[-1]
