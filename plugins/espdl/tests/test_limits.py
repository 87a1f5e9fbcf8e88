from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from espdl_proof import Net, prove, quantized

from quaint.errors import QuaintError


def net_of_gemm(weight: Any, bias: Any) -> tuple[ir.Model, str]:
    net = Net(x=("N", weight.shape[1]))
    x = net.add("Gemm", net["x"], weight.astype(np.float32), bias.astype(np.float32), transB=1)
    return net.model(x), "gemm0"


def shifts(model: ir.Model, target: str, samples: Any = None) -> list[Any]:
    layers = quantized(model, target, samples).integer.integer_layers
    return [layer.constants["shift"] for layer in layers if "weight" in layer.constants]


@pytest.mark.parametrize("target", ["esp32p4", "esp32s3"])
def test_an_output_finer_than_its_accumulator_goes_through_the_accumulators_scale(target: str) -> None:
    model, _ = net_of_gemm(np.array([[1.0, -1.0]]), np.zeros(1))
    samples = {"x": np.linspace(1, 2, 40)[:, None] + np.array([0, 1e-5])}  # large inputs, tiny differences
    result = quantized(model, target, samples)
    assert [layer.op for layer in result.integer.integer_layers] == ["gemm", "requantize"]
    assert result.integer.integer_layers[0].constants["shift"].min() == 0
    assert prove(result).graph.nodes[1].op_type == "RequantizeLinear"


@pytest.mark.parametrize(("target", "limit"), [("esp32p4", 24), ("esp32s3", 12)])
def test_no_shift_is_beyond_what_the_accumulator_can_reach(target: str, limit: int) -> None:
    weight = np.array([[2.0**-12, 2.0**-12], [1.0, 1.0]]) if target == "esp32p4" else np.full((2, 2), 2.0**-12)
    model, _ = net_of_gemm(weight, np.array([100.0, 100.0]))
    (shift,) = shifts(model, target)
    assert 0 <= shift.min() <= shift.max() <= limit


def test_a_channel_with_a_large_bias_gets_weights_coarse_enough_for_it() -> None:
    model, _ = net_of_gemm(np.array([[1e-4, 1e-4], [1.0, 1.0]]), np.array([3e4, 1.0]))
    result = quantized(model, "esp32p4", {"x": np.random.default_rng(0).normal(size=(64, 2)) * 1e-3})
    assert not any("biases" in line for line in result.warnings)
    assert np.abs(result.integer.integer_layers[0].constants["bias"]).max() < 2**31
    prove(result)


def of_integers(dtype: ir.DataType) -> tuple[ir.Model, dict[str, Any]]:
    net = Net(x=("N", 4))
    net["x"].type = ir.TensorType(dtype)
    x = net.add("Gemm", net.add("Cast", net["x"], to=1), np.ones((4, 4), np.float32))
    return net.model(x), {"x": np.arange(160).reshape(40, 4).clip(0, 127).astype(dtype.numpy())}


@pytest.mark.parametrize("dtype", [ir.DataType.UINT8, ir.DataType.INT32])
def test_integer_inputs_that_the_runtime_lacks_are_refused(dtype: ir.DataType) -> None:
    model, samples = of_integers(dtype)
    with pytest.raises(QuaintError, match=f"takes no {dtype.name.lower()} input"):
        quantized(model, "esp32p4", samples)


@pytest.mark.parametrize("dtype", [ir.DataType.INT8, ir.DataType.INT16])
def test_integer_inputs_enter_as_they_are(dtype: ir.DataType) -> None:
    source, samples = of_integers(dtype)
    model = prove(quantized(source, "esp32p4", samples))
    assert model.graph.inputs[0].dtype.name == dtype.name
    assert model.graph.inputs[0].exponents == (0,)
