"""Kernels of the runtime's recurrent layers: integers into the gates, float32 tables and states, integers out.

Sequences are [time, batch, features], or [batch, time, features] with a batch of one; states [directions, batch, features].
A gate works on 16-bit integers of scale ``2**gate_exponent``. Formulas: the runtime's modules GRU and LSTM, its product of a
matrix and a vector, and its tables, as published; no golden vector exists for them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from quaint.numerics import Rounding
from quaint_espdl.kernels.functions import once_rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Arithmetic, Kernel

    Ints = NDArray[np.int64]
    Reals = NDArray[np.float32]

V = TypeVar("V")

ONE = np.float32(1)
GATE_BITS = 16
GATE_LOW, GATE_HIGH = -(1 << (GATE_BITS - 1)), (1 << (GATE_BITS - 1)) - 1
#: What a sum of two 16-bit numbers lies within.
WIDER = 2 * GATE_LOW, 2 * GATE_HIGH
#: Beyond these arguments the tables end.
SIGMOID_LIMIT, TANH_LIMIT = np.float32(6.3), np.float32(3.5)


def _last_index(limit: np.float32, exponent: int) -> int:
    """The largest index of a table: one step beyond the limit."""
    return int(limit / np.float32(2.0**exponent)) + 1


def _logistic(x: Reals) -> Reals:
    """``1 / (1 + expf(-x))``, the division in double precision."""
    return (1.0 / (1.0 + once_rounded(np.exp, -x).astype(np.float64))).astype(np.float32)


@functools.cache
def sigmoid_table(exponent: int) -> Reals:
    """The sigmoid of integers of scale ``2**exponent``, as many below zero as above: stored above zero, derived below."""
    last = _last_index(SIGMOID_LIMIT, exponent)
    above = _logistic(np.arange(last + 1).astype(np.float32) * np.float32(2.0**exponent))
    return np.concatenate([ONE - above[:0:-1], above])


@functools.cache
def tanh_table(exponent: int) -> Reals:
    """The hyperbolic tangent likewise: ``2 * sigmoid(2 * x) - 1``."""
    last = _last_index(TANH_LIMIT, exponent)
    x = np.arange(last + 1).astype(np.float32) * np.float32(2.0**exponent)
    above = np.float32(2) * _logistic(np.float32(2) * x) - ONE
    return np.concatenate([-above[:0:-1], above])


@dataclass(frozen=True, eq=False)
class Gates(Generic[V]):
    """What all steps share.

    Args:
        arithmetic: that runs them.
        hidden_size: features of the state.
        gate_exponent: of two, of the gates' scale.
        shifts: of the products with the input and with the state, from the accumulator's scale to the gates'.
        vectors: whether vector code shifts integers there; else the C code multiplies in float32.
        rounding: the chip's.
    """

    arithmetic: Arithmetic[V]
    hidden_size: int
    gate_exponent: int
    shifts: Sequence[int]
    vectors: Sequence[bool]
    rounding: str

    def product(self, x: V, weight: Ints, place: int) -> V:
        """``x @ weight.T`` as saturated integers of the gates; ``place`` 0 for the input, 1 for the state."""
        k, shift = self.arithmetic, self.shifts[place]
        total = k.matmul(x, weight.T)
        if self.vectors[place]:
            total = k.shift_right(total, shift, Rounding(self.rounding))
        else:
            total = k.scale_float32(total, np.asarray(2.0**-shift, np.float32), Rounding(self.rounding))
        return k.clip(total, GATE_LOW, GATE_HIGH)

    def part(self, gates: V, place: int) -> V:
        """One gate of several that lie side by side."""
        first = place * self.hidden_size
        return self.arithmetic.gather(gates, range(first, first + self.hidden_size), 2)

    def sigmoid(self, gate: V) -> V:
        """A gate as a real between 0 and 1."""
        return self._looked_up(gate, sigmoid_table(self.gate_exponent))

    def tanh(self, gate: V) -> V:
        """A gate as a real between -1 and 1."""
        return self._looked_up(gate, tanh_table(self.gate_exponent))

    def _looked_up(self, gate: V, table: Reals) -> V:
        last = len(table) // 2
        return self.arithmetic.lookup(self.arithmetic.clip(gate, -last, last), table, -last)

    def rounded(self, x: V, low: int, high: int) -> V:
        """A real as the nearest integer within limits."""
        return self.arithmetic.to_integer(x, low, high, Rounding(self.rounding))


@dataclass(frozen=True, eq=False)
class Direction:
    """What one direction of a layer has of its own: weights [gates, features], biases [gates]."""

    weight: Ints
    recurrent: Ints
    bias: Ints
    recurrent_bias: Ints


def _directions(weight: Ints, recurrent: Ints, bias: Ints | None) -> list[Direction]:
    """Of ONNX's W, R and B."""
    count, gates = recurrent.shape[:2]
    both = np.zeros((count, 2 * gates), np.int64) if bias is None else bias.reshape(count, 2 * gates)
    rows = zip(weight, recurrent, both[:, :gates], both[:, gates:], strict=True)
    return [Direction(*row) for row in rows]


def _gru_step(g: Gates[V], own: Direction, x: V, states: tuple[V, ...], out_scale: float, low: int, high: int) -> Any:
    """The update gate ``z``, the reset gate ``r`` and the new state; biases overflow silently."""
    k, (h,) = g.arithmetic, states
    entering = k.wrap(k.add(x, own.bias, axis=2), GATE_BITS)
    staying = k.wrap(k.add(g.product(h, own.recurrent, 1), own.recurrent_bias, axis=2), GATE_BITS)
    z, r = (g.sigmoid(k.add(g.part(entering, place), g.part(staying, place))) for place in range(2))
    reset = k.real("Mul", r, k.to_real(g.part(staying, 2)))
    n = g.tanh(g.rounded(k.real("Add", k.to_real(g.part(entering, 2)), reset), *WIDER))
    fresh = k.real("Mul", k.real("Mul", k.real("Sub", ONE, z), n), np.float32(1 / out_scale))
    state = k.real("Add", fresh, k.real("Mul", z, k.to_real(h)))
    return (g.rounded(state, low, high),)


def _lstm_step(g: Gates[V], own: Direction, x: V, states: tuple[V, ...], out_scale: float, low: int, high: int) -> Any:
    """Gates in the order input, output, forget, cell; their sum and the cell's state overflow silently."""
    k, (h, c) = g.arithmetic, states
    total = k.add(k.add(x, own.bias + own.recurrent_bias, axis=2), g.product(h, own.recurrent, 1))
    gates = k.wrap(total, GATE_BITS)
    i, o, f = (g.sigmoid(g.part(gates, place)) for place in range(3))
    entering = k.real("Mul", k.real("Mul", i, g.tanh(g.part(gates, 3))), np.float32(2.0**-g.gate_exponent))
    cell = k.real("Add", k.real("Mul", f, k.to_real(c)), entering)
    cell_state = k.wrap(g.rounded(cell, *WIDER), GATE_BITS)
    state = k.real("Mul", k.real("Mul", o, g.tanh(cell_state)), np.float32(1 / out_scale))
    return g.rounded(state, low, high), cell_state


def _recurrent(step: Callable[..., Any], count: int) -> Kernel:
    """A kernel that goes through a sequence, once in each direction; it gives the sequence of states, then the last ones.

    Args:
        step: from a state to the next.
        count: how many tensors make up a state.
    """

    def kernel(
        k: Arithmetic[V],
        x: V,
        *initial: V,
        weight: Ints,
        recurrent: Ints,
        bias: Ints | None = None,
        initial_h: Ints | None = None,
        initial_c: Ints | None = None,
        shapes: Sequence[Sequence[int]] | None = None,
        out_scale: float,
        low: int,
        high: int,
        **gates: Any,
    ) -> tuple[V, ...]:
        """Runs the steps from ``initial`` states, or constant ones, or zeros; ``shapes`` are the outputs' if the batch is one."""
        features, hidden_size = weight.shape[-1], recurrent.shape[-1]
        g = Gates(k, hidden_size, **gates)
        if shapes is not None:
            x = k.reshape(x, [-1, 1, features])
            initial = tuple(k.reshape(each, [-1, 1, hidden_size]) for each in initial)
        first = k.reshape(k.gather(x, [0], 0), [-1, features])
        zeros = k.reshape(k.matmul(first, np.zeros((features, hidden_size), np.int64)), [1, -1, hidden_size])
        runs = []
        for place, own in enumerate(_directions(weight, recurrent, bias)):
            known = (zeros if start is None else k.add(zeros, start[place]) for start in (initial_h, initial_c))
            states = tuple(k.gather(each, [place], 0) for each in initial) or tuple(known)[:count]
            run = _Run(g, own, functools.partial(step, out_scale=out_scale, low=low, high=high))
            runs.append(run(x, states, backwards=place == 1))
        made = (
            k.concat([sequence for sequence, _ in runs], 1),
            *(k.concat([last[i] for _, last in runs], 0) for i in range(count)),
        )
        return made if shapes is None else tuple(k.reshape(y, shape) for y, shape in zip(made, shapes, strict=True))

    return kernel


@dataclass(frozen=True, eq=False)
class _Run(Generic[V]):
    """One direction through a sequence."""

    gates: Gates[V]
    own: Direction
    step: Callable[..., tuple[V, ...]]

    def __call__(self, x: V, states: tuple[V, ...], *, backwards: bool) -> tuple[V, tuple[V, ...]]:
        """All states [time, 1, batch, features] in the order of time, and the last that was made."""
        k = self.gates.arithmetic
        made: dict[int, V] = {}
        moments = range(k.shape(x)[0] or 0)
        for moment in reversed(moments) if backwards else moments:
            # rows: onnxruntime 1.31 dies of fusing a product in float64 with a Transpose of the batch before it
            rows = k.reshape(k.gather(x, [moment], 0), [-1, self.own.weight.shape[-1]])
            entering = k.reshape(self.gates.product(rows, self.own.weight, 0), [1, -1, len(self.own.weight)])
            states = self.step(self.gates, self.own, entering, states)
            made[moment] = states[0]
        sequence = k.concat([made[moment] for moment in moments], 0)
        return k.reshape(sequence, [0, 1, -1, self.gates.hidden_size]), states


RECURRENT_KERNELS: dict[str, Kernel] = {"GRU": _recurrent(_gru_step, 1), "LSTM": _recurrent(_lstm_step, 2)}
