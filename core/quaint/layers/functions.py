"""Elementwise functions of ONNX in float64, for tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.patterns import Block

    Floats = NDArray[np.float64]

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def _hard_sigmoid(x: Floats, alpha: float, beta: float) -> Floats:
    return np.clip(alpha * x + beta, 0, 1)


def _gelu(x: Floats, approximate: str) -> Floats:
    if approximate == "tanh":
        return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


#: ONNX operator -> function of the node and its input. Formulas and default attributes: ONNX operator reference, opset 21.
FUNCTIONS: dict[str, Callable[[ir.Node, Floats], Any]] = {
    "Sigmoid": lambda _, x: _sigmoid(x),
    "Tanh": lambda _, x: np.tanh(x),
    "HardSigmoid": lambda n, x: _hard_sigmoid(x, graph.attribute(n, "alpha", 0.2), graph.attribute(n, "beta", 0.5)),
    "HardSwish": lambda _, x: x * _hard_sigmoid(x, 1 / 6, 0.5),
    "LeakyRelu": lambda n, x: np.where(x < 0, graph.attribute(n, "alpha", 0.01) * x, x),
    "Elu": lambda n, x: np.where(x < 0, graph.attribute(n, "alpha", 1.0) * np.expm1(np.minimum(x, 0)), x),
    "Gelu": lambda n, x: _gelu(x, graph.attribute(n, "approximate", "none")),
    "Softplus": lambda _, x: np.logaddexp(0, x),
    "Exp": lambda _, x: np.exp(np.minimum(x, 700)),
    "Abs": lambda _, x: np.abs(x),
    "Neg": lambda _, x: -x,
}


def apply(block: Block, x: Floats) -> Floats:
    """What a block of one elementwise operator, or ``x * Sigmoid(x)``, makes of ``x``; float64."""
    node = block.nodes[0]
    value = np.asarray(FUNCTIONS[node.op_type](node, x), np.float64)
    return value * x if block.node("Mul") is not None else value
