"""Functions of one real number as the runtime computes them: float32, with the C library's functions in between.

The C library's ``expf``, ``logf`` and ``powf`` are double precision inside, and rounded once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quaint_espdl.kernels.transcendental import exponential, logarithm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from quaint.arithmetic import Arithmetic

    Reals = NDArray[np.float32]
    #: ``function(arithmetic, x, attributes)`` on float32.
    Function = Callable[[Any, Any, Mapping[str, Any]], Any]

V = TypeVar("V")

ZERO, ONE, TWO = np.float32(0), np.float32(1), np.float32(2)


def once_rounded(function: Callable[..., Any], *xs: Reals) -> Reals:
    """A function of the C library: in double precision, rounded to float32."""
    with np.errstate(all="ignore"):
        return np.asarray(function(*(x.astype(np.float64) for x in xs)), np.float32)


def sigmoid(k: Arithmetic[V], x: V) -> V:
    """``1 / (1 + exp(-x))``, the division in double precision."""
    one = np.float64(1)
    return k.to_real(k.real("Div", one, k.real("Add", exponential(k, k.real("Neg", x)), one)))


def _tanh(k: Arithmetic[V], x: V) -> V:
    return k.real("Sub", k.real("Mul", sigmoid(k, k.real("Mul", x, TWO)), TWO), ONE)


def _leaky_relu(k: Arithmetic[V], x: V, alpha: float) -> V:
    return k.real("Add", k.real("Max", x, ZERO), k.real("Mul", k.real("Min", x, ZERO), np.float32(alpha)))


def _limited(k: Arithmetic[V], x: V, low: Any, high: Any) -> V:
    return k.real("Min", k.real("Max", x, low), high)


def _hard_sigmoid(k: Arithmetic[V], x: V, alpha: float, beta: float) -> V:
    return _limited(k, k.real("Add", k.real("Mul", x, np.float32(alpha)), np.float32(beta)), ZERO, ONE)


def _hard_swish(k: Arithmetic[V], x: V) -> V:
    wide = k.to_real(x, double=True)
    line = k.real("Add", k.real("Mul", wide, np.float64(0.166667)), np.float64(0.5))
    return k.to_real(k.real("Mul", wide, _limited(k, line, np.float64(0), np.float64(1))))


def _elu(k: Arithmetic[V], x: V, alpha: float) -> V:
    below = k.real("Sub", k.to_real(exponential(k, k.real("Min", x, ZERO))), ONE)
    return k.real("Add", k.real("Max", x, ZERO), k.real("Mul", below, np.float32(alpha)))


def _clip(k: Arithmetic[V], x: V, low: float, high: float) -> V:
    return _limited(k, x, np.float32(low), np.float32(high))


#: Operator -> function of its input and attributes.
FUNCTIONS: dict[str, Function] = {
    "Relu": lambda k, x, _: k.real("Max", x, ZERO),
    "LeakyRelu": lambda k, x, a: _leaky_relu(k, x, a.get("alpha", 0.01)),
    "Sigmoid": lambda k, x, _: sigmoid(k, x),
    "Tanh": lambda k, x, _: _tanh(k, x),
    "Swish": lambda k, x, _: k.real("Mul", x, sigmoid(k, x)),
    "HardSigmoid": lambda k, x, a: _hard_sigmoid(k, x, a.get("alpha", 0.2), a.get("beta", 0.5)),
    "HardSwish": lambda k, x, _: _hard_swish(k, x),
    "Elu": lambda k, x, a: _elu(k, x, a.get("alpha", 1.0)),
    "Exp": lambda k, x, _: k.to_real(exponential(k, x)),
    "Log": lambda k, x, _: k.to_real(logarithm(k, x)),
    "Sqrt": lambda k, x, _: k.real("Sqrt", x),
    "Neg": lambda k, x, _: k.real("Neg", x),
    "Clip": lambda k, x, a: _clip(k, x, a.get("min", -np.inf), a.get("max", np.inf)),
}
