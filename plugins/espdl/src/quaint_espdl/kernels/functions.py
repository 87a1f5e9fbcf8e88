"""Functions of one real number as the runtime computes them: float32, with the C library's functions in between.

The C library's ``expf``, ``logf`` and ``powf`` are double precision inside, and rounded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Reals = NDArray[np.float32]
    Function = Callable[[Reals, Mapping[str, Any]], Any]


def once_rounded(function: Callable[..., Any], *xs: Reals) -> Reals:
    """A function of the C library: in double precision, rounded to float32."""
    with np.errstate(all="ignore"):
        return np.asarray(function(*(x.astype(np.float64) for x in xs)), np.float32)


def sigmoid(x: Reals) -> Reals:
    """``1 / (1 + exp(-x))``, the division in double precision."""
    return once_rounded(lambda v: 1 / (1 + np.exp(-v)), x)


def _hard_sigmoid(x: Reals, alpha: float, beta: float) -> Reals:
    return np.asarray(np.clip(np.float32(alpha) * x + np.float32(beta), 0, 1), np.float32)


def _hard_swish(x: Reals) -> Reals:
    wide = x.astype(np.float64)
    return np.asarray(wide * np.clip(0.166667 * wide + 0.5, 0, 1), np.float32)


def _elu(x: Reals, alpha: float) -> Reals:
    return np.where(x < 0, np.float32(alpha) * (once_rounded(np.exp, np.minimum(x, 0)) - np.float32(1)), x)


#: Operator -> function of its input and attributes.
FUNCTIONS: dict[str, Function] = {
    "Relu": lambda x, _: np.maximum(x, 0),
    "LeakyRelu": lambda x, a: np.where(x < 0, x * np.float32(a.get("alpha", 0.01)), x),
    "Sigmoid": lambda x, _: sigmoid(x),
    "Tanh": lambda x, _: np.float32(2) * sigmoid(np.float32(2) * x) - np.float32(1),
    "Swish": lambda x, _: x * sigmoid(x),
    "HardSigmoid": lambda x, a: _hard_sigmoid(x, a.get("alpha", 0.2), a.get("beta", 0.5)),
    "HardSwish": lambda x, _: _hard_swish(x),
    "Elu": lambda x, a: _elu(x, a.get("alpha", 1.0)),
    "Exp": lambda x, _: once_rounded(np.exp, x),
    "Log": lambda x, _: once_rounded(np.log, x),
    "Sqrt": lambda x, _: once_rounded(np.sqrt, x),
    "Neg": lambda x, _: -x,
    "Clip": lambda x, a: np.clip(x, a.get("min", -np.inf), a.get("max", np.inf)),
}
