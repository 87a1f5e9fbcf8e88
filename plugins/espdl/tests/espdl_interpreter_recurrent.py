"""The interpreter's recurrent layers, in plain loops; registers them where it is imported.

Written from the runtime's source as published: one sample, float32 in its order, no fused multiplication and addition.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from espdl_interpreter import OPERATIONS, Interpreter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quaint_espdl.file.elements import EspdlNode

    Array = NDArray[Any]

f32 = np.float32


def int16(value: int) -> int:
    """As C stores an int in an int16_t."""
    return (value + 32768) % 65536 - 32768


class Table:
    """A function for arguments from zero on, its other half derived."""

    def __init__(self, exponent: int, limit: float, *, odd: bool) -> None:
        self.last, self.odd = int(f32(limit) / f32(2.0**exponent)) + 1, odd
        self.values = [self._value(f32(i) * f32(2.0**exponent)) for i in range(self.last + 1)]

    def _value(self, x: np.float32) -> np.float32:
        if self.odd:
            return f32(2) * self._logistic(f32(2) * x) - f32(1)
        return self._logistic(x)

    def _logistic(self, x: np.float32) -> np.float32:
        return f32(1.0 / (1.0 + float(f32(math.exp(-float(x))))))

    def __call__(self, index: int) -> np.float32:
        found = self.values[min(abs(index), self.last)]
        if index >= 0:
            return found
        return -found if self.odd else f32(1) - found


class Layer:
    """A node and its constants.

    Args:
        run: the interpreter.
        node: GRU or LSTM.
    """

    def __init__(self, run: Interpreter, node: EspdlNode) -> None:
        self.run, self.given, self.op = run, node.attributes, node.op_type
        x, w, r = node.inputs[:3]
        self.gate = int(self.given["gate_exponent"])
        self.shifts = (
            self.gate - run.exponent(x) - run.exponent(w),
            self.gate - run.exponent(node.outputs[1]) - run.exponent(r),
        )
        self.bits = int(self.given["quant_type"][1:])
        self.size = int(self.given["hidden_size"])
        self.w, self.r = run.integers(w), run.integers(r)
        gates = self.w.shape[1]
        b = run.integers(node.inputs[3]) if len(node.inputs) > 3 else np.zeros((len(self.w), 2 * gates), np.int64)
        self.wb, self.rb = b[:, :gates].tolist(), b[:, gates:].tolist()
        self.rescale = f32(2.0 ** -run.exponent(node.outputs[0]))
        self.sigmoid, self.tanh = Table(self.gate, 6.3, odd=False), Table(self.gate, 3.5, odd=True)

    def product(self, matrix: Array, vector: Sequence[int], shift: int) -> list[int]:
        """Each row times the vector, shifted to the gates' scale, saturated."""
        sums = [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix.tolist()]
        lanes = (128 // self.bits) if self.run.grouped else 0
        if lanes and len(vector) % lanes == 0 and shift >= 0:
            found = [int(self.run.shift(np.asarray(total), shift)) for total in sums]
        else:
            found = [int(self.run.round(np.asarray(f32(total) * f32(2.0**-shift), f32))) for total in sums]
        return [min(max(value, -32768), 32767) for value in found]

    def rounded(self, value: np.float32) -> int:
        return int(self.run.round(np.asarray(value, f32)))

    def saturated(self, value: np.float32) -> int:
        limit = 1 << (self.bits - 1)
        return min(max(self.rounded(value), -limit), limit - 1)

    def step(self, d: int, x: list[int], h: list[int], c: list[int]) -> tuple[list[int], list[int]]:
        """The states after one more entry of the sequence."""
        ins = self.product(self.w[d], x, self.shifts[0])
        hid = self.product(self.r[d], h, self.shifts[1])
        return (self.gru if self.op == "GRU" else self.lstm)(ins, hid, self.wb[d], self.rb[d], h, c)

    def gru(self, ins: list[int], hid: list[int], wb: list[int], rb: list[int], h: list[int], c: list[int]) -> Any:
        n, state = self.size, []
        ins = [int16(a + b) for a, b in zip(ins, wb, strict=True)]
        hid = [int16(a + b) for a, b in zip(hid, rb, strict=True)]
        for i in range(n):
            z, r = self.sigmoid(ins[i] + hid[i]), self.sigmoid(ins[n + i] + hid[n + i])
            fresh = self.tanh(self.rounded(f32(ins[2 * n + i]) + r * f32(hid[2 * n + i])))
            state.append(self.saturated((f32(1) - z) * fresh * self.rescale + z * f32(h[i])))
        return state, c

    def lstm(self, ins: list[int], hid: list[int], wb: list[int], rb: list[int], _: list[int], c: list[int]) -> Any:
        n, state, cell = self.size, [], []
        sums = [int16(sum(terms)) for terms in zip(ins, hid, wb, rb, strict=True)]
        for j in range(n):
            i, o, f, g = (sums[place * n + j] for place in range(4))
            entering = self.sigmoid(i) * self.tanh(g) * f32(2.0**-self.gate)
            cell.append(int16(self.rounded(self.sigmoid(f) * f32(c[j]) + entering)))
            state.append(self.saturated(self.sigmoid(o) * self.tanh(cell[j]) * self.rescale))
        return state, cell


def recurrent(run: Interpreter, node: EspdlNode) -> tuple[Array, ...]:
    """The sequence of states, the last states, of an LSTM the last cell states."""
    layer = Layer(run, node)
    x = run.integers(node.inputs[0])
    steps = x.reshape(-1, x.shape[-1]).tolist()
    whole = np.zeros((len(steps), len(layer.w), 1, layer.size), np.int64)
    states, cells = [], []
    for d in range(len(layer.w)):
        h, c = [0] * layer.size, [0] * layer.size
        for t in range(len(steps)) if d == 0 else reversed(range(len(steps))):
            h, c = layer.step(d, steps[t], h, c)
            whole[t, d, 0] = h
        states.append([h])
        cells.append([c])
    return (whole, np.asarray(states)) if node.op_type == "GRU" else (whole, np.asarray(states), np.asarray(cells))


OPERATIONS.update(dict.fromkeys(("GRU", "LSTM"), recurrent))
