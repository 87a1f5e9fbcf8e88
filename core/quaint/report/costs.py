"""What a layer costs, counted on the float model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from quaint import graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir


#: Operators that multiply and accumulate.
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def macs_of(model: ir.Model, nodes: Sequence[str]) -> int:
    """Multiply-accumulates for one sample of the nodes with these names; biases and activations are not counted."""
    return sum(_macs(node) for node in model.graph if node.name in nodes)


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
