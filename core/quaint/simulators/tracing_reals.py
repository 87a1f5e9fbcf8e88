"""Operations on real numbers, traced: the operators that IEEE defines to the last bit, in an order that nothing changes.

What onnxruntime's optimizers would make another operation of is kept apart: ``1 / x * y`` is not ``y / x``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper

from quaint.simulators.tracing_core import Emitter, broadcast
from quaint.simulators.tracing_graph import Kind, Untraceable
from quaint.simulators.tracing_sources import Measured
from quaint.simulators.tracing_values import Clip, Real, Traced, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx
    from numpy.typing import NDArray

    from quaint.arithmetic import Constant
    from quaint.numerics import Rounding

    Reals = NDArray[Any] | np.floating[Any]


class RealNumbers(Emitter):
    """Operations on reals in float32, or in float64 where a kernel asks for it."""

    def is_real(self, x: Traced | Real) -> bool:
        """Whether ``x`` holds reals."""
        return isinstance(x, Real)

    def to_real(self, x: Traced | Real | Constant, *, double: bool = False) -> Real:
        """``x`` in floating point: one rounding, if any."""
        kind = Kind.FLOAT64 if double else Kind.FLOAT32
        if isinstance(x, Real):
            return x if x.kind is kind else Real(x.shape, self.graph.cast(x.name, kind), kind)
        if not isinstance(x, Traced):
            return Real(np.shape(x), self.graph.whole(np.asarray(x), kind), kind)
        tensor = self.graph.without_negative_zero(self.graph.fenced(self.tensor(x)))
        return Real(x.shape, self.graph.converted(tensor, kind).name, kind)

    def real(self, operator: str, *xs: Real | Reals) -> Real:
        """One operation."""
        (kind,) = {x.kind for x in xs if isinstance(x, Real)}
        shape = broadcast(*(x.shape for x in xs))
        names = [self._operand(x, kind, operator) for x in xs]
        return Real(shape, self.graph.node(operator, *names, **({"fmod": 1} if operator == "Mod" else {})), kind)

    def _operand(self, x: Real | Reals, kind: Kind, operator: str) -> str:
        if not isinstance(x, Real):
            return self.graph.float_constant(np.asarray(x), kind)
        return self.graph.kept_apart(x.name) if operator == "Mul" else x.name

    def accumulate(self, operator: str, x: Real, axes: Sequence[int]) -> Real:
        """Numbers combined one after another: running sums in order, other operations in a loop of the graph."""
        rank = len(x.shape)
        axes = sorted(axis % rank for axis in axes)
        kept = [axis for axis in range(rank) if axis not in axes]
        sizes = [x.shape[axis] for axis in axes]
        count = math.prod(size or 0 for size in sizes)
        if None in sizes or not count:
            raise Untraceable("a sum of unknown length")
        rows = self._rows(x.name, [*kept, *axes], len(kept))
        if operator == "Add":
            sums = self.graph.node("CumSum", rows, self._integers(len(kept)))
            name = self.graph.node("Gather", sums, self._integers(count - 1), axis=len(kept))
        else:
            name = self._loop(operator, rows, len(kept), count, x.kind)
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
        target = self._integers([-1 if size is None else size for size in shape])
        return Real(shape, self.graph.node("Reshape", name, target), x.kind)

    def _rows(self, name: str, perm: list[int], kept: int) -> str:
        """The axes from ``kept`` on of a transposed tensor, as one."""
        if perm != sorted(perm):
            name = self.graph.node("Transpose", name, perm=perm)
        return name if len(perm) == kept + 1 else self.graph.node("Reshape", name, self._integers([0] * kept + [-1]))

    def _loop(self, operator: str, rows: str, axis: int, count: int, kind: Kind) -> str:
        """The operation from entry to entry along ``axis``."""
        first = self.graph.node("Gather", rows, self._integers(0), axis=axis)
        if count == 1:
            return first
        bounds = (self._integers([bound]) for bound in (1, count, axis))
        rest = self.graph.node("Slice", rows, *bounds)
        return self.graph.node(
            "Scan", first, rest, body=_step(operator, kind), num_scan_inputs=1, scan_input_axes=[axis]
        )

    def to_integer(self, x: Real, low: int, high: int, rounding: Rounding) -> Traced:
        """Reals to integers; NaN is 0."""
        Kind.holding(max(abs(low), abs(high)))
        zero = self.graph.constant(np.zeros((), x.kind.dtype))
        source = Measured(self.graph.node("Where", self.graph.node("IsNaN", x.name), zero, x.name), x.kind)
        return Traced(x.shape, source, rounding=rounding, limits=Clip(whole(low), whole(high)))

    def _integers(self, values: int | list[int]) -> str:
        return self.graph.constant(np.asarray(values, np.int64))


def _step(operator: str, kind: Kind) -> onnx.GraphProto:
    """The body of a loop: the total and the next entry to the new total."""
    total, entry, made = (helper.make_tensor_value_info(name, kind, None) for name in ("total", "entry", "made"))
    return helper.make_graph([helper.make_node(operator, ["total", "entry"], ["made"])], "step", [total, entry], [made])
