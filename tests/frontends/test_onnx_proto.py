"""What a file claims: rows 7, 13 to 17, 25 and 26 of the table of bad input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import pytest
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

from quaint.errors import QuaintError
from quaint.frontends.onnx import load

if TYPE_CHECKING:
    from collections.abc import Callable


def shape(model: ModelProto, *dims: int) -> None:
    model.graph.initializer[0].ClearField("dims")
    model.graph.initializer[0].dims.extend(dims)


def wrong_field(weights: TensorProto) -> None:
    weights.ClearField("raw_data")
    weights.double_data.extend([1.0] * 108)


def two_fields(model: ModelProto) -> None:
    weights = model.graph.initializer[0]
    weights.float_data.extend(numpy_helper.to_array(weights).ravel())
    weights.ClearField("raw_data")
    weights.int32_data.append(1)


def sparse_constant(model: ModelProto) -> None:
    attribute = model.graph.node.add(op_type="Constant", output=["z"]).attribute.add()
    attribute.name, attribute.type = "value", AttributeProto.SPARSE_TENSOR
    attribute.sparse_tensor.values.name = "thin"


def nest(model: ModelProto, depth: int) -> None:
    graph = model.graph
    for level in range(depth):
        node = graph.node.add(op_type="If", name=f"if{level}", input=["flag"], output=[f"d{level}"])
        graph = node.attribute.add(name="then_branch", type=AttributeProto.GRAPH).g


BROKEN: dict[str, tuple[str, str, Callable[[ModelProto], object]]] = {
    "7 opset": ("QM111", "opset", lambda m: m.ClearField("opset_import")),
    "7 default opset": ("QM111", "opset", lambda m: setattr(m.opset_import[0], "domain", "my")),
    "7 ir_version": ("QM111", "ir_version", lambda m: m.ClearField("ir_version")),
    "13 two producers": ("QM123", "'t1'", lambda m: m.graph.node.add(op_type="Relu", input=["x"], output=["t1"])),
    "13 initializer": ("QM123", "'w1'", lambda m: m.graph.node.add(op_type="Relu", input=["x"], output=["w1"])),
    "13 initializer twice": ("QM123", "'w1'", lambda m: m.graph.initializer.append(m.graph.initializer[0])),
    "13 input twice": ("QM123", "'x'", lambda m: m.graph.input.append(m.graph.input[0])),
    "14 dims": ("QM130", "w1", lambda m: shape(m, 4, 3, 3, 300)),
    "14 no data": ("QM130", "w1", lambda m: m.graph.initializer[0].ClearField("raw_data")),
    "14 wrong field": ("QM130", "w1", lambda m: wrong_field(m.graph.initializer[0])),
    "14 two fields": ("QM130", "w1", two_fields),
    "15 huge": ("QM131", "w1", lambda m: shape(m, 1 << 40)),
    "16 negative": ("QM132", "w1", lambda m: shape(m, 4, -3, 3, 3)),
    "16 zero": ("QM132", "w1", lambda m: shape(m, 4, 0, 3, 3)),
    "17 overflow": ("QM131", "w1", lambda m: shape(m, 1 << 33, 1 << 33)),
    "25 sparse": ("QM152", "thin", lambda m: setattr(m.graph.sparse_initializer.add().values, "name", "thin")),
    "25 sparse value": ("QM152", "value", sparse_constant),
    "25 strings": ("QM152", "w1", lambda m: setattr(m.graph.initializer[0], "data_type", TensorProto.STRING)),
    "26 depth": ("QM153", "nested", lambda m: nest(m, 60)),
    "27 dtype": ("QM160", "w1", lambda m: setattr(m.graph.initializer[0], "data_type", 77)),
}


@pytest.mark.parametrize("row", BROKEN)
def test_refused(row: str, model: ModelProto, refuses: Callable[[ModelProto, str, str], None]) -> None:
    code, culprit, change = BROKEN[row]
    change(model)
    refuses(model, code, culprit)


@pytest.mark.parametrize("row", ["14 dims", "15 huge", "16 zero"])
def test_refused_also_in_memory(row: str, model: ModelProto) -> None:
    code, culprit, change = BROKEN[row]
    change(model)
    for source in (model, ir.from_proto(model)):
        with pytest.raises(QuaintError, match=f"{code}.*{culprit}"):
            load(source)


def test_depth_is_limited_also_in_memory(model: ModelProto) -> None:
    nest(model, 40)
    with pytest.raises(QuaintError, match="QM153"):
        load(model)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.uint8, np.int32, np.int64, np.uint64, np.bool_])
@pytest.mark.parametrize("raw", [True, False])
def test_every_way_to_hold_data(dtype: type[np.generic], raw: bool, model: ModelProto) -> None:
    values = np.array([[1, 0, 1]]).astype(dtype)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    data = values.tobytes() if raw else values.ravel()
    model.graph.initializer.append(helper.make_tensor("extra", kind, [1, 3], data, raw=raw))
    np.testing.assert_array_equal(load(model).graph.initializers["extra"].const_value.numpy(), values)


def test_packed_data(model: ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("extra", TensorProto.INT4, [3], [1, -2, 3]))
    assert load(model).graph.initializers["extra"].const_value.numpy().tolist() == [1, -2, 3]


def test_empty_vectors_are_legal(model: ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("roi", TensorProto.FLOAT, [0]))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(0, np.float32), "roi"))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"))
    model.graph.node.append(helper.make_node("Resize", ["t2", "roi", "scales"], ["z"], "up"))
    assert "roi" in load(model).graph.initializers
