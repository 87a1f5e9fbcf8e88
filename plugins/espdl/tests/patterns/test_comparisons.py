"""Comparisons: on one exponent, at the end of a model, and refused anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import pytest
from espdl_proof import Net, prove, quantized

from quaint.errors import QuaintError
from quaint_espdl.file.elements import DataType
from quaint_espdl.kernels.integers import RELATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from quaint.quantized import Quantized

    Comparison = Callable[[Any, Any], Any]

RANDOM = np.random.default_rng(0)
#: What they are of real numbers.
FUNCTIONS: dict[str, Comparison] = {
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Equal": np.equal,
}


def weights(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return RANDOM.normal(size=shape).astype(np.float32)


def truth(net: Net, op_type: str, *operands: Any) -> ir.Value:
    result = net.add(op_type, *operands)
    result.type = ir.TensorType(ir.DataType.BOOL)
    return result


def dequantized(result: Quantized, feeds: dict[str, Any], name: str) -> Any:
    return result.integer.tensors[name].dequantize(result.run(feeds, outputs=[name])[name])


def test_each_is_known() -> None:
    assert FUNCTIONS.keys() == RELATIONS.keys()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("target", ["esp32p4", "esp32s3", "esp32"])
@pytest.mark.parametrize("op_type", RELATIONS)
def test_of_two_tensors_on_the_larger_exponent(target: str, op_type: str, bits: int) -> None:
    net = Net(x=("N", 3, 4, 6))
    x = net.add("Conv", net["x"], weights(5, 3, 1, 1))
    model = net.model(truth(net, op_type, x, net.add("Conv", net["x"], 20 * weights(5, 3, 1, 1))))
    result = quantized(model, target, weight_bits=bits, activation_bits=bits)
    written = prove(result)
    assert [node.op_type for node in written.graph.nodes] == ["Conv", "Conv", "RequantizeLinear", op_type]
    assert written.graph.outputs[0].dtype is DataType.BOOL
    feeds = {"x": RANDOM.normal(size=(8, 3, 4, 6)).astype(np.float32)}
    (values,) = result.run(feeds).values()
    coarser, larger = (dequantized(result, feeds, name) for name in result.integer.integer_layers[-1].inputs)
    np.testing.assert_array_equal(values, FUNCTIONS[op_type](coarser, larger))


@pytest.mark.parametrize("op_type", RELATIONS)
@pytest.mark.parametrize("first", [False, True])
def test_with_a_constant_as_the_real_numbers_compare(op_type: str, *, first: bool) -> None:
    """A threshold between two integers goes to the side on which the relation is that of the real numbers."""
    net = Net(x=("N", 5))
    limits = np.array([0.3, -0.7, 0, 0.01, -0.02], np.float32)
    if op_type == "Equal":
        limits = np.array([0, 0.25, -0.5, 0.125, 0], np.float32)
    x = net.add("Tanh", net["x"])
    result = quantized(net.model(truth(net, op_type, *((limits, x) if first else (x, limits)))), "esp32p4")
    prove(result)
    feeds = {"x": np.linspace(-3, 3, 300 * 5, dtype=np.float32).reshape(300, 5)}
    real = dequantized(result, feeds, result.integer.integer_layers[-1].inputs[0])
    (values,) = result.run(feeds).values()
    np.testing.assert_array_equal(values, FUNCTIONS[op_type](*((limits, real) if first else (real, limits))))
    assert values.any()


@pytest.mark.parametrize("limit", [-50.0, 50.0])
@pytest.mark.parametrize("op_type", RELATIONS)
def test_a_constant_beyond_the_tensor_is_not_cut_off(op_type: str, limit: float) -> None:
    net = Net(x=("N", 5))
    x = net.add("Tanh", net["x"])
    result = quantized(net.model(truth(net, op_type, x, np.float32(limit))), "esp32s3")
    prove(result)
    (values,) = result.run({"x": np.linspace(-3, 3, 40, dtype=np.float32).reshape(8, 5)}).values()
    np.testing.assert_array_equal(values, np.broadcast_to(FUNCTIONS[op_type](0, limit), values.shape))


def test_of_two_widths_at_the_wider() -> None:
    net = Net(x=("N", 3, 4, 4))
    x = net.add("Conv", net["x"], weights(5, 3, 1, 1))
    y = net.add("Conv", net["x"], weights(5, 3, 1, 1))
    written = prove(quantized(net.model(truth(net, "Less", x, y)), "esp32p4", layers={"conv1": {"bits": 16}}))
    assert written.graph.nodes[-1].attributes["quant_type"] == "S16"


def test_of_different_shapes_channel_last() -> None:
    net = Net(x=("N", 3, 4, 6))
    x = net.add("Relu", net.add("Conv", net["x"], weights(5, 3, 1, 1)))
    written = prove(quantized(net.model(truth(net, "Greater", x, net.add("GlobalAveragePool", x))), "esp32p4"))
    assert written.graph.outputs[0].dims == (1, 4, 6, 5)


def test_a_cast_to_floats_is_no_node() -> None:
    net = Net(x=("N", 5))
    result = quantized(net.model(net.add("Cast", truth(net, "Less", net["x"], np.float32(0.1)), to=1)), "esp32p4")
    assert [node.op_type for node in prove(result).graph.nodes] == ["Less"]


def masked(net: Net, x: ir.Value) -> ir.Value:
    return net.add("Mul", x, net.add("Cast", truth(net, "Greater", x, np.float32(0.1)), to=1))


def counted(net: Net, x: ir.Value) -> ir.Value:
    result = net.add("Cast", truth(net, "Greater", x, np.float32(0.1)), to=int(ir.DataType.INT64))
    result.type = ir.TensorType(ir.DataType.INT64)
    return result


def of_integers(net: Net, x: ir.Value) -> ir.Value:
    whole = net.add("Cast", x, to=int(ir.DataType.INT32))
    whole.type = ir.TensorType(ir.DataType.INT32)
    return truth(net, "Greater", whole, np.int32(1))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (masked, "truth values, which no other layer"),
        (counted, "truth values leave as other numbers"),
        (of_integers, "other numbers than reals"),
        (lambda net, x: truth(net, "Less", x, np.float32(np.inf)), "a constant that is not finite"),
    ],
)
def test_anywhere_else_it_is_refused(make: Callable[[Net, ir.Value], ir.Value], reason: str) -> None:
    net = Net(x=("N", 5))
    with pytest.raises(QuaintError, match="QT310") as caught:
        quantized(net.model(make(net, net["x"])), "esp32p4")
    assert any(reason in line for line in caught.value.details)
