"""Kernels traced to stock ONNX operators, each proven exact by bounds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx

from quaint.simulators.tracing_graph import Kind, Tensor, Untraceable
from quaint.simulators.tracing_reals import RealNumbers
from quaint.simulators.tracing_saturating import Saturating
from quaint.simulators.tracing_saturation import Saturation
from quaint.simulators.tracing_sources import Measured
from quaint.simulators.tracing_values import Clip, Interval, Real, Traced, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Constant
    from quaint.numerics import Rounding
    from quaint.simulators.tracing_core import T
    from quaint.simulators.tracing_values import Shape


class Tracer(Saturating, RealNumbers):
    """``Arithmetic`` that emits ONNX. Whole numbers are carried in floats wherever bounds prove that exact.

    Raises:
        Untraceable: from an operation that has no exact form.
    """

    # sums ------------------------------------------------------------------------------------------------------------
    def sum(self, x: Traced, axes: Sequence[int], *, keepdims: bool) -> Traced:
        """Sum over ``axes``."""
        axes = sorted(axis % len(x.shape) for axis in axes)
        if not axes:
            return x
        count, hull = _count(x.shape, axes), x.interval.hull()
        interval = Interval.of(count * hull.low, count * hull.high)
        kind = _summing(interval.limit)
        listed = self.graph.constant(np.asarray(axes, np.int64))
        name = self.graph.node("ReduceSum", self._as(x, kind), listed, keepdims=int(keepdims))
        return self.made(_reduced(x.shape, axes, keepdims=keepdims), Tensor(name, kind), interval)

    def saturating_sum(self, x: Traced, axes: Sequence[int], low: int, high: int, *, keepdims: bool) -> Traced:
        """Sum over ``axes`` in row-major order, clipped to ``[low, high]`` after every addition."""
        axes = sorted(axis % len(x.shape) for axis in axes)
        count, hull = _count(x.shape, axes), x.interval.hull()
        least, most = count * min(int(hull.low[0]), 0), count * max(int(hull.high[0]), 0)
        if low <= min(least, 0) and max(most, 0) <= high:
            return self.sum(x, axes, keepdims=keepdims)
        kind = _summing(most - least + max(abs(low), abs(high)))
        kept = [axis for axis in range(len(x.shape)) if axis not in axes]
        terms = self.graph.node("Transpose", self._as(x, kind), perm=[*kept, *axes])
        flat = self.graph.constant(np.asarray([0] * len(kept) + [-1], np.int64))
        name = Saturation(self.graph, kind, low, high).sum(self.graph.node("Reshape", terms, flat), count)
        shape = _reduced(x.shape, axes, keepdims=keepdims)
        target = self.graph.constant(np.asarray([-1 if size is None else size for size in shape], np.int64))
        return self.made(shape, Tensor(self.graph.node("Reshape", name, target), kind), Interval.of(low, high))

    # movement --------------------------------------------------------------------------------------------------------
    def reshape(self, x: T, shape: Sequence[int]) -> T:
        """ONNX Reshape with allowzero=0."""
        target = self.graph.constant(np.asarray(shape, np.int64))
        return self._moved(x, _reshaped(x.shape, shape), "Reshape", target)

    def transpose(self, x: T, perm: Sequence[int]) -> T:
        """Axes in the order ``perm``."""
        return self._moved(x, tuple(x.shape[axis] for axis in perm), "Transpose", perm=[*perm])

    def concat(self, xs: Sequence[T], axis: int) -> T:
        """Tensors joined along ``axis``."""
        axis %= len(xs[0].shape)
        sizes = [x.shape[axis] for x in xs]
        total = None if None in sizes else sum(size for size in sizes if size is not None)
        shape = (*xs[0].shape[:axis], total, *xs[0].shape[axis + 1 :])
        if isinstance(xs[0], Real):
            return Real(shape, self.graph.node("Concat", *(x.name for x in xs), axis=axis), xs[0].kind)
        interval = xs[0].interval.hull()
        for x in xs[1:]:
            interval = interval.union(x.interval)
        kind = Kind.holding(interval.limit)
        name = self.graph.node("Concat", *(self._as(x, kind) for x in xs), axis=axis)
        return self.made(shape, Tensor(name, kind), interval)

    def gather(self, x: T, indices: Sequence[int], axis: int) -> T:
        """Entries along ``axis``; evenly spaced ones as a slice, which is faster."""
        axis %= len(x.shape)
        shape = (*x.shape[:axis], len(indices), *x.shape[axis + 1 :])
        spaces = set(np.diff(indices).tolist()) or {1}
        if len(spaces) > 1 or min(spaces) < 1:
            return self._moved(x, shape, "Gather", self.graph.constant(np.asarray(indices, np.int64)), axis=axis)
        bounds = ([indices[0]], [indices[-1] + 1], [axis], list(spaces))
        return self._moved(x, shape, "Slice", *(self.graph.constant(np.asarray(b, np.int64)) for b in bounds))

    def pad(self, x: Traced, pads: Sequence[int], value: Constant, *, axis: int | None = None) -> Traced:
        """Borders of ``value``: zeros around what is left without it."""
        border = self._whole(value, len(x.shape), axis)
        inner = self.subtract(x, value, axis=axis)
        rank = len(pads) // 2
        grown = [a + b for a, b in zip(pads[:rank], pads[rank:], strict=True)]
        lead = len(x.shape) - rank
        sizes = [n if n is None else n + more for n, more in zip(x.shape[lead:], grown, strict=True)]
        tensor = self.tensor(inner)
        full = [*[0] * lead, *pads[:rank], *[0] * lead, *pads[rank:]]
        name = self.graph.node("Pad", tensor.name, self.graph.constant(np.asarray(full, np.int64)))
        interval = inner.interval.union(Interval.of(0, 0))
        return self._plus(self.made((*x.shape[:lead], *sizes), Tensor(name, tensor.kind), interval), border)

    # between reals and integers ---------------------------------------------------------------------------------------
    def quantize(
        self,
        x: Real,
        factor: NDArray[np.float32],
        zero_point: Constant,
        low: int,
        high: int,
        rounding: Rounding,
        *,
        divide: bool,
        axis: int | None,
    ) -> Traced:
        """Float32 to integers; NaN is ``low``."""
        graph, rank = self.graph, len(x.shape)
        scaled = graph.node("Div" if divide else "Mul", x.name, graph.real(self._laid(factor, rank, axis)))
        lowest = graph.constant(np.asarray(np.finfo(np.float32).min))
        source = Measured(graph.node("Where", graph.node("IsNaN", scaled), lowest, scaled))
        offset, limits = self._whole(zero_point, rank, axis), Clip(whole(low), whole(high))
        Kind.holding(Interval.of(low, high).limit + Interval.of(offset, offset).limit)
        return Traced(x.shape, source, rounding=rounding, offset=offset, limits=limits)

    def dequantize(self, x: Traced, scale: NDArray[np.float32], zero_point: Constant, *, axis: int | None) -> Real:
        """Integers to float32."""
        tensor = self.tensor(self.subtract(x, zero_point, axis=axis))
        value = self.graph.converted(self.graph.fenced(tensor), Kind.FLOAT32)
        name = self.graph.node("Mul", value.name, self.graph.real(self._laid(scale, len(x.shape), axis)))
        return Real(x.shape, name)

    def host(self, xs: Sequence[Real], model: NDArray[np.uint8]) -> tuple[Real, ...]:
        """The nodes of a float model; nothing keeps optimizers from joining them with what is around."""
        proto = onnx.load_model_from_string(model.tobytes())
        outputs = self.graph.inline(proto, [x.name for x in xs])
        dims = [value.type.tensor_type.shape.dim for value in proto.graph.output]
        shapes = [tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in shape) for shape in dims]
        return tuple(Real(shape, name) for shape, name in zip(shapes, outputs, strict=True))


def _summing(limit: int) -> Kind:
    """What holds a sum of magnitude ``limit``; onnxruntime 1.31 does not add up int64 exactly."""
    kind = Kind.holding(limit)
    if kind is Kind.INT64:
        raise Untraceable("a sum that may pass 2**53")
    return kind


def _count(shape: Shape, axes: Sequence[int]) -> int:
    """How many elements a sum over ``axes`` adds up."""
    sizes = [shape[axis] for axis in axes]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        raise Untraceable("a sum of unknown length")
    return math.prod(known)


def _reduced(shape: Shape, axes: Sequence[int], *, keepdims: bool) -> Shape:
    """The shape of a sum over ``axes``."""
    return tuple(1 if i in axes else size for i, size in enumerate(shape) if keepdims or i not in axes)


def _reshaped(shape: Shape, target: Sequence[int]) -> Shape:
    """What ONNX Reshape makes of ``shape``; the batch is unknown wherever it goes."""
    sizes: list[int | None] = [shape[i] if size == 0 else size for i, size in enumerate(target)]
    if -1 in sizes:
        place = sizes.index(-1)
        left = [*shape]
        for size in (size for size in sizes if size != -1):
            if size is None:
                left.remove(None)
        made = math.prod(size for size in sizes if size is not None and size != -1)
        rest = math.prod(size for size in left if size is not None)
        sizes[place] = None if None in left else rest // made
    return tuple(sizes)
