"""Tensors of a model at the edges of a traced graph, where they are stored in the types of the chip's integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import TensorProto, helper

from quaint.simulators.tracing_graph import Kind, Untraceable
from quaint.simulators.tracing_rounding import check_kinds
from quaint.simulators.tracing_values import Interval, Real, Traced

if TYPE_CHECKING:
    from quaint.integer import IntegerModel
    from quaint.simulators.tracing import Tracer


def stored_type(model: IntegerModel, name: str) -> int:
    """ONNX's number of the type that a tensor is stored in."""
    params = model.tensors.get(name)
    return TensorProto.FLOAT if params is None else helper.np_dtype_to_tensor_dtype(params.dtype.storage)


def incoming(tracer: Tracer, model: IntegerModel, name: str, place: str) -> Traced | Real:
    """Tensor ``name`` of ``model``, stored as the graph's value ``place``."""
    params = model.tensors.get(name)
    if params is None:
        return Real(model.shapes[name], place)
    interval = Interval.of(params.dtype.low, params.dtype.high)
    kind = Kind.holding(interval.limit)
    return tracer.value(tracer.graph.cast(place, kind), model.shapes[name], interval, kind)


def check(model: IntegerModel, name: str, value: Traced | Real) -> None:
    """Hold a kernel to what its output is declared to be.

    Raises:
        Untraceable: if the value cannot be emitted, or is not proven to be integers of the tensor's type.
    """
    params = model.tensors.get(name)
    if isinstance(value, Real) or params is None:
        if isinstance(value, Real) != (params is None):
            raise Untraceable(f"'{name}' mixes reals and integers")
        return
    check_kinds(value)
    bounds = value.interval.hull()
    if bounds.low[0] < params.dtype.low or bounds.high[0] > params.dtype.high:
        raise Untraceable(f"'{name}' is not proven to be {params.dtype}")


def outgoing(tracer: Tracer, model: IntegerModel, name: str, value: Traced | Real) -> str:
    """The name of a new value that holds ``value`` as tensor ``name`` is stored."""
    if isinstance(value, Real):
        return tracer.graph.fresh("Identity", value.name)
    return tracer.graph.fresh("Cast", tracer.tensor(value).name, to=stored_type(model, name))
