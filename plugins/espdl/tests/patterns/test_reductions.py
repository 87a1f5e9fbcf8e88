"""Reductions, products of two tensors, groups and interpolation: what is written computes what was simulated."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import pytest
from espdl_proof import Net, prove, quantized

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.testing import zoo

if TYPE_CHECKING:
    from quaint.quantized import Quantized

RANDOM = np.random.default_rng(0)
WIDE = {"weight_bits": 16, "activation_bits": 16}
MODELS = [
    name
    for name in zoo.names()
    if name.startswith(("reduce", "global_max", "avgpool", "matmul", "conv_groups", "conv_m", "conv_t", "resize"))
]


def from_zoo(model: str, target: str, **config: Any) -> Quantized:
    given = zoo.load(model)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "QC202")
        return pipeline.quantize(given.model, target, given.samples, Config(**config))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("target", ["esp32p4", "esp32s3", "esp32"])
@pytest.mark.parametrize("model", MODELS)
def test_files_compute_what_was_simulated(model: str, target: str, wide: bool) -> None:
    prove(from_zoo(model, target, **(WIDE if wide else {})))


def operators(model: str, target: str = "esp32p4", **config: Any) -> list[str]:
    return [node.op_type for node in prove(from_zoo(model, target, **config)).graph.nodes]


def test_right_operands_are_packed_by_nodes_that_the_runtime_has() -> None:
    aligned = ["Reshape", "Transpose", "Reshape"]
    rest = ["Slice", "Transpose", "Reshape"]
    assert operators("matmul_heads") == [
        *["Slice", *aligned, *rest, "Concat", "Reshape", "MatMul"],  # 20 columns: 16 and 4
        *[*aligned, "Reshape", "MatMul"],
    ]
    assert operators("matmul_heads", "esp32") == ["Transpose", "Reshape", "Reshape", "MatMul"] * 2


def test_interpolation_is_8_bits_among_16() -> None:
    made = from_zoo("resize_linear", "esp32p4", **WIDE)
    assert [layer.op for layer in made.integer.integer_layers] == ["conv", "requantize", "ResizeLinear"]
    assert made.integer.tensors[made.integer.integer_layers[-1].outputs[0]].dtype.bits == 8


def test_groups_become_one_with_a_warning_of_the_cost() -> None:
    made = from_zoo("conv_groups_many", "esp32p4")
    (layer,) = made.integer.integer_layers
    assert layer.attributes["group"] == 1
    assert layer.constants["weight"].shape == (8, 16, 3, 3)
    assert np.count_nonzero(layer.constants["weight"]) <= 8 * 4 * 9
    assert any("4 groups become one" in line for line in made.warnings)


def test_a_depthwise_transposed_convolution_stays_depthwise() -> None:
    model = prove(from_zoo("conv_transpose_depthwise", "esp32p4"))
    assert [(node.op_type, node.attributes.get("group")) for node in model.graph.nodes][-1] == ("Conv", 4)


def attention(rows: int = 20, width: int = 8) -> ir.Model:
    net = Net(x=("N", rows, width))
    query, key, value = (
        net.add("MatMul", net["x"], RANDOM.normal(0, width**-0.5, (width, width)).astype(np.float32)) for _ in range(3)
    )
    scores = net.add("MatMul", query, net.add("Transpose", key, perm=[0, 2, 1]))
    return net.model(net.add("MatMul", net.add("Softmax", scores, axis=-1), value))


@pytest.mark.parametrize("target", ["esp32p4", "esp32s3", "esp32"])
@pytest.mark.parametrize("wide", [False, True])
def test_attention_is_never_one_operator(target: str, wide: bool) -> None:
    model = prove(quantized(attention(), target, **(WIDE if wide else {})))
    types = [node.op_type for node in model.graph.nodes]
    assert types.count("MatMul") == 2
    assert "Softmax" in types
    assert "Attention" not in types


def refusal(model: ir.Model, target: str = "esp32p4") -> str:
    with pytest.raises(QuaintError) as caught:
        quantized(model, target)
    assert caught.value.code == "QT310"
    return "\n".join(caught.value.details)


@pytest.mark.parametrize(
    ("attributes", "scales", "reason"),
    [
        ({"coordinate_transformation_mode": "asymmetric"}, [1, 1, 2, 2], "asymmetric"),
        ({"antialias": 1}, [1, 1, 0.5, 0.5], "antialiasing"),
        ({}, [1, 2, 2, 2], "other axes"),
        ({"coordinate_transformation_mode": "align_corners"}, [1, 1, 0.25, 1], "single entry"),
    ],
)
def test_interpolation_that_the_runtime_lacks(attributes: dict[str, Any], scales: list[float], reason: str) -> None:
    net = Net(x=("N", 3, 4, 4))
    x = net.add("Conv", net["x"], RANDOM.normal(size=(5, 3, 1, 1)).astype(np.float32))
    node = ir.node("Resize", [x, None, net.constant(np.array(scales, np.float32))], {"mode": "linear", **attributes})
    node.outputs[0].name, node.outputs[0].type = "resized", ir.TensorType(ir.DataType.FLOAT)
    net.nodes.append(node)
    assert reason in refusal(net.model(node.outputs[0]))


@pytest.mark.parametrize(
    ("op_type", "operands", "reason"),
    [
        ("RNN", (np.ones((1, 5, 4), np.float32), np.ones((1, 5, 5), np.float32)), "registers no module"),
        ("ReduceMean", (np.array([0, 2, 3]),), "reduces the batch"),
    ],
)
def test_refused_with_a_reason(op_type: str, operands: tuple[Any, ...], reason: str) -> None:
    net = Net(x=(1, 3, 4) if op_type == "RNN" else (1, 3, 4, 4))
    given = {"hidden_size": 5} if op_type == "RNN" else {}
    assert reason in refusal(net.model(net.add(op_type, net.add("Sigmoid", net["x"]), *operands, **given)))
