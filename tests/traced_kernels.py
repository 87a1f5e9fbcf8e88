"""Kernels traced for inputs of some widths, and compared with ``Exact``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from quaint.numerics import IntType
from quaint.simulators.exact import Exact
from quaint.simulators.tracing import Tracer
from quaint.simulators.tracing_graph import OPSET, Graph, Kind, Untraceable
from quaint.simulators.tracing_values import Interval

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, np.dtype[Any]]


class Traced:
    """A kernel traced for inputs of some widths, as a graph from int64 to int64."""

    def __init__(self, kernel: Callable[..., Any], *inputs: tuple[IntType, Array], fast: bool = True) -> None:
        graph = Graph()
        tracer = Tracer(graph, fast=fast)
        values = []
        for i, (dtype, array) in enumerate(inputs):
            interval = Interval.of(dtype.low, dtype.high)
            kind = Kind.holding(interval.limit)
            values.append(tracer.value(graph.cast(f"x{i}", kind), (None, *array.shape[1:]), interval, kind))
        result = kernel(tracer, *values)
        self.tensor, self.interval, self.shape = tracer.tensor(result), result.interval, result.shape
        name = graph.cast(self.tensor.name, Kind.INT64)
        nodes = graph.needed([name])
        self.ops = Counter(node.op_type for node in nodes)
        info = helper.make_tensor_value_info
        proto = helper.make_graph(
            nodes,
            "traced",
            [info(f"x{i}", onnx.TensorProto.INT64, [None, *a.shape[1:]]) for i, (_, a) in enumerate(inputs)],
            [info(name, onnx.TensorProto.INT64, None)],
            [numpy_helper.from_array(array, key) for key, array in graph.constants.items()],
        )
        model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        options = ort.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 3, 1
        session = ort.InferenceSession(model.SerializeToString(), options)
        self.result = session.run(None, {f"x{i}": array for i, (_, array) in enumerate(inputs)})[0]


def check(kernel: Callable[..., Any], *inputs: tuple[IntType, Array]) -> None:
    """``kernel`` traced, both ways, equals ``Exact``, within the bounds proven."""
    try:
        expected = kernel(Exact(), *(array for _, array in inputs))
    except OverflowError:
        return
    for fast in (True, False):
        try:
            traced = Traced(kernel, *inputs, fast=fast)
        except Untraceable:
            continue
        np.testing.assert_array_equal(traced.result, expected)
        assert expected.shape[1:] == traced.shape[1:]
        assert (traced.interval.low <= expected).all()
        assert (expected <= traced.interval.high).all()


def integer(bits: int, *, signed: bool = True) -> IntType:
    return IntType(bits, signed=signed)
