"""Sums and products with constants and of different shapes, in files that compute what was simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from espdl_proof import Net, prove, quantized

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

RANDOM = np.random.default_rng(0)


def weights(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return RANDOM.normal(size=shape).astype(np.float32)


def with_constant(op_type: str, shape: Sequence[int], *, first: bool = False) -> ir.Model:
    """Between convolutions, so that tensors are channel last; ReLU keeps the constant from being folded."""
    net = Net(x=("N", 3, 4, 6))
    x = net.add("Relu", net.add("Conv", net["x"], weights(5, 3, 1, 1)))
    operands = (weights(*shape), x) if first else (x, weights(*shape))
    return net.model(net.add("Conv", net.add("Relu", net.add(op_type, *operands)), weights(2, 5, 1, 1)))


@pytest.mark.parametrize("target", ["esp32p4", "esp32s3"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("shape", [(), (1,), (6,), (4, 1), (5, 1, 1), (1, 5, 4, 6)])
@pytest.mark.parametrize(("op_type", "first"), [("Add", False), ("Mul", False), ("Sub", True)])
def test_a_constant_of_any_shape(target: str, bits: int, shape: Sequence[int], op_type: str, *, first: bool) -> None:
    wishes = {"weight_bits": bits, "activation_bits": bits}
    result = quantized(with_constant(op_type, shape, first=first), target, **wishes)
    model = prove(result)
    node = next(node for node in model.graph.nodes if node.op_type == op_type)
    (constant,) = (tensor for tensor in model.graph.initializers if tensor.name in node.inputs)
    assert node.inputs.index(constant.name) == (0 if first else 1)
    assert len(constant.dims) == 4
    name = next(layer.name for layer in result.integer.integer_layers if "constant" in layer.constants)
    assert result.integer.tensors[f"{name}/constant"].exponents == constant.exponents[0]
    assert not [node for node in model.graph.nodes if node.op_type == "Transpose"]


def test_an_input_is_moved_without_saturating_first() -> None:
    net = Net(x=("N", 3, 4, 4))
    samples = {"x": RANDOM.uniform(0, 255, (16, 3, 4, 4)).astype(np.float32)}
    x = net.add("Sub", net["x"], np.float32(127.5))
    result = quantized(net.model(net.add("Conv", x, weights(2, 3, 3, 3), pads=[1, 1, 1, 1])), "esp32p4", samples)
    name = next(layer.outputs[0] for layer in result.integer.integer_layers if layer.op == "add")
    values = result.simulator("reference").run(samples, [name])[name]
    scale = float(result.integer.tensors[name].scale)
    np.testing.assert_allclose(values * scale, samples["x"] - 127.5, atol=2)
    prove(result)


@pytest.mark.parametrize(
    "shape", [("N", 5, 1, 1), ("N", 1, 4, 6), ("N", 5, 4, 1), (1, 4, 6), (6,), (1, 5, 1, 1)], ids=str
)
@pytest.mark.parametrize("op_type", ["Add", "Mul", "Sub"])
def test_tensors_of_different_shapes(shape: Sequence[int | str], op_type: str) -> None:
    net = Net(x=("N", 3, 4, 6), y=shape)
    x = net.add("Relu", net.add("Conv", net["x"], weights(5, 3, 1, 1)))
    samples = {
        "x": RANDOM.normal(size=(8, 3, 4, 6)),
        "y": RANDOM.normal(size=[8 if n == "N" else int(n) for n in shape]),
    }
    try:
        result = quantized(net.model(net.add(op_type, x, net["y"])), "esp32p4", samples)
    except QuaintError as error:
        assert shape[0] != "N", error  # noqa: PT017 - inputs without a batch are refused elsewhere
        return
    prove(result)


def test_a_gate_from_the_averages_of_a_map() -> None:
    net = Net(x=("N", 3, 4, 6))
    x = net.add("Relu", net.add("Conv", net["x"], weights(5, 3, 1, 1)))
    gate = net.add("Sigmoid", net.add("Conv", net.add("GlobalAveragePool", x), weights(5, 5, 1, 1)))
    model = prove(quantized(net.model(net.add("Mul", x, gate)), "esp32p4"))
    assert [node.op_type for node in model.graph.nodes] == ["Conv", "GlobalAveragePool", "Conv", "Sigmoid", "Mul"]


def test_a_product_of_a_tensor_with_itself_at_another_width() -> None:
    net = Net(x=("N", 3, 4, 6))
    x = net.add("Conv", net["x"], weights(5, 3, 1, 1))
    prove(quantized(net.model(net.add("Mul", x, x)), "esp32p4", layers={"mul1": {"bits": 16}}))


def test_constants_that_are_refused() -> None:
    net = Net(x=(8, 5, 4, 6))
    x = net.add("Mul", net.add("Relu", net["x"]), np.full((8, 1, 1, 1), 2, np.float32))
    infinite = net.add("Div", np.float32(1), np.float32(0))
    with pytest.raises(QuaintError) as caught:
        quantized(net.model(net.add("Add", net.add("Relu", x), infinite)), "esp32p4")
    assert [line.partition(": ")[2] for line in caught.value.details] == [
        "a constant of shape [8, 1, 1, 1] reaches into the batch",
        "a constant that is not finite",
    ]


def clipped(high: float) -> ir.Model:
    net = Net(x=("N", 3, 4, 6))
    x = net.add("Conv", net["x"], 10 * weights(5, 3, 1, 1))
    return net.model(net.add("Clip", x, np.float32(0), np.float32(high)))


def test_a_clip_is_part_of_the_convolution_where_its_integers_saturate_there() -> None:
    exact = prove(quantized(clipped(127 / 16), "esp32p4"))
    assert [(node.op_type, node.attributes["activation"]) for node in exact.graph.nodes] == [("Conv", "Relu")]
    inside = prove(quantized(clipped(6), "esp32p4"))
    assert [node.op_type for node in inside.graph.nodes] == ["Conv", "Clip"]


@pytest.mark.parametrize("op_type", ["Add", "Sub"])
def test_operands_that_cancel_do_not_saturate(op_type: str) -> None:
    """Their sum is a hundredth of them; on a scale that holds no more than the sum nothing of it would be left."""
    net = Net(x=("N", 3, 4, 6))
    x = net.add("Sigmoid", net["x"])
    other = net.add("Mul", x, np.float32(-0.99 if op_type == "Add" else 0.99))
    result = quantized(net.model(net.add(op_type, x, other)), "esp32p4", weight_bits=16, activation_bits=16)
    samples = RANDOM.normal(size=(8, 3, 4, 6)).astype(np.float32)
    (values,) = result.run({"x": samples}).values()
    np.testing.assert_allclose(values, 0.01 / (1 + np.exp(-samples)), atol=2e-4)
    prove(result)
