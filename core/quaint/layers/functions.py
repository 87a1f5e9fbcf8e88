"""Elementwise functions of ONNX in float64, for tables.

A table has an entry for every integer, so every function has a value everywhere: where a logarithm, a root or a reciprocal
has none, its limit from the right stands in (an infinity saturates; so ``log(x) = -inf`` and ``sqrt(x) = 0`` below zero).
"""

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
#: Constants of Selu (ONNX operator reference, opset 22).
_SELU = {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875}


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def _hard_sigmoid(x: Floats, alpha: float, beta: float) -> Floats:
    return np.clip(alpha * x + beta, 0, 1)


def _gelu(x: Floats, approximate: str) -> Floats:
    if approximate == "tanh":
        return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


def _elu(x: Floats, alpha: float) -> Floats:
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)


def _celu(x: Floats, alpha: float) -> Floats:
    return np.where(x < 0, alpha * np.expm1(np.minimum(x, 0) / alpha), x)


def _selu(n: ir.Node, x: Floats) -> Floats:
    alpha, gamma = (graph.attribute(n, name, default) for name, default in _SELU.items())
    return np.asarray(gamma * _elu(x, alpha))


def _sloped(x: Floats, slope: float) -> Floats:
    return np.where(x < 0, slope * x, x)


def _log(x: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.maximum(x, 0)))


def _reciprocal(x: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(1 / (x + 0.0))  # no negative zero


#: ONNX operator -> function of the node and its input. Formulas and default attributes: ONNX operator reference, opset 21.
FUNCTIONS: dict[str, Callable[[ir.Node, Floats], Any]] = {
    "Sigmoid": lambda _, x: _sigmoid(x),
    "Tanh": lambda _, x: np.tanh(x),
    "HardSigmoid": lambda n, x: _hard_sigmoid(x, graph.attribute(n, "alpha", 0.2), graph.attribute(n, "beta", 0.5)),
    "HardSwish": lambda _, x: x * _hard_sigmoid(x, 1 / 6, 0.5),
    "LeakyRelu": lambda n, x: _sloped(x, graph.attribute(n, "alpha", 0.01)),
    "PRelu": lambda n, x: _sloped(x, graph.scalar(n.inputs[1]) or 0.0),
    "ThresholdedRelu": lambda n, x: np.where(x > graph.attribute(n, "alpha", 1.0), x, 0),
    "Elu": lambda n, x: _elu(x, graph.attribute(n, "alpha", 1.0)),
    "Celu": lambda n, x: _celu(x, graph.attribute(n, "alpha", 1.0)),
    "Selu": _selu,
    "Gelu": lambda n, x: _gelu(x, graph.attribute(n, "approximate", "none")),
    "Mish": lambda _, x: x * np.tanh(np.logaddexp(0, x)),
    "Softplus": lambda _, x: np.logaddexp(0, x),
    "Softsign": lambda _, x: x / (1 + np.abs(x)),
    "Erf": lambda _, x: _erf(x),
    "Exp": lambda _, x: np.exp(np.minimum(x, 700)),
    "Log": lambda _, x: _log(x),
    "Sqrt": lambda _, x: np.sqrt(np.maximum(x, 0)),
    "Reciprocal": lambda _, x: _reciprocal(x),
    "Sin": lambda _, x: np.sin(x),
    "Cos": lambda _, x: np.cos(x),
    "Tan": lambda _, x: np.tan(x),
    "Atan": lambda _, x: np.arctan(x),
    "Sinh": lambda _, x: np.sinh(np.clip(x, -700, 700)),
    "Cosh": lambda _, x: np.cosh(np.clip(x, -700, 700)),
    "Floor": lambda _, x: np.floor(x),
    "Ceil": lambda _, x: np.ceil(x),
    "Round": lambda _, x: np.rint(x),
    "Sign": lambda _, x: np.sign(x),
    "Abs": lambda _, x: np.abs(x),
    "Neg": lambda _, x: -x,
}
#: Those of one operand.
UNARY = tuple(name for name in FUNCTIONS if name != "PRelu")


def apply(block: Block, x: Floats) -> Floats:
    """What a block of one elementwise operator, or ``x`` times it, makes of ``x``; float64."""
    node = block.nodes[0]
    value = np.asarray(FUNCTIONS[node.op_type](node, x), np.float64)
    return value * x if block.node("Mul") is not None else value
