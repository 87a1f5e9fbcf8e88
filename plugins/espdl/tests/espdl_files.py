"""Small files of one operator, for the tests of the reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.quantized import Quantized
from quaint_espdl.file.elements import DataType, EspdlGraph, EspdlModel, EspdlNode, EspdlTensor, ValueInfo
from quaint_espdl.reading.chips import by_name
from quaint_espdl.reading.reader import integer_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]


def variable(name: str, dims: Sequence[int], exponent: int = 0, dtype: DataType = DataType.INT8) -> ValueInfo:
    return ValueInfo(name, tuple(dims), dtype, (exponent,))


def constant(name: str, array: Array, exponent: int = 0) -> EspdlTensor:
    return EspdlTensor.from_array(name, array, (exponent,), "layout ==> UNK")


def file(
    op_type: str,
    inputs: Sequence[ValueInfo | EspdlTensor],
    outputs: Sequence[ValueInfo],
    *tables: EspdlTensor,
    target: str = "esp32p4",
    **attributes: Any,
) -> EspdlModel:
    """A file of one node."""
    node = EspdlNode(
        "node", op_type, tuple(edge.name for edge in inputs), tuple(edge.name for edge in outputs), attributes
    )
    constants = (*(edge for edge in inputs if isinstance(edge, EspdlTensor)), *tables)
    variables = tuple(edge for edge in inputs if isinstance(edge, ValueInfo))
    graph = EspdlGraph("net", (node,), constants, variables, tuple(outputs), (*variables, *outputs))
    return EspdlModel(graph, {"target": target} if target else {})


def run(model: EspdlModel, *arrays: Array) -> Array:
    """The first output's integers for the inputs' in order, the same in both simulators."""
    chip = by_name(model.metadata["target"])
    quantized = Quantized(integer_model(model, chip, "net"), chip.target)
    feeds = dict(zip((info.name for info in model.graph.inputs), arrays, strict=True))
    one, other = (quantized.run(feeds, integers=True, simulator=name) for name in ("reference", "onnxruntime"))
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name])
    return one[model.graph.outputs[0].name]
