"""Tables and slopes at both widths, in files that compute what was simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from espdl_proof import Net, prove, quantized

from quaint.errors import QuaintError
from quaint.layers.functions import UNARY

if TYPE_CHECKING:
    import onnx_ir as ir

    from quaint_espdl.file.elements import EspdlModel, EspdlTensor

RANDOM = np.random.default_rng(0)
WIDE = {"weight_bits": 16, "activation_bits": 16}
#: What no table can hold: they reach infinity or oscillate within a step.
POSITIVE = {"Log", "Reciprocal", "Sqrt"}


def after_conv(op_type: str, *operands: Any, **attributes: Any) -> ir.Model:
    net = Net(x=("N", 3, 4, 4))
    x = net.add("Conv", net["x"], RANDOM.normal(size=(5, 3, 1, 1)).astype(np.float32))
    if op_type in POSITIVE:
        x = net.add("Sigmoid", x)
    return net.model(net.add(op_type, x, *operands, **attributes))


def table_of(model: EspdlModel) -> EspdlTensor:
    node = model.graph.nodes[-1]
    return next(tensor for tensor in model.graph.initializers if tensor.name == node.attributes["lut"])


@pytest.mark.parametrize("op_type", UNARY)
def test_every_function_has_a_table(op_type: str) -> None:
    model = prove(quantized(after_conv(op_type), "esp32p4"))
    node = model.graph.nodes[-1]
    if op_type == "Neg":  # folded into the convolution
        assert node.op_type == "Conv"
        return
    registered = {"Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "Gelu", "Exp"}
    assert node.op_type == (op_type if op_type in registered else "LUT")
    assert table_of(model).dims == (256,)


@pytest.mark.parametrize("target", ["esp32p4", "esp32s3"])
@pytest.mark.parametrize("step", [1, 2, 32, 256])
def test_a_16_bit_table_has_every_nth_integer(target: str, step: int) -> None:
    result = quantized(after_conv("Tanh"), target, options={"table_step": step}, **WIDE)
    model = prove(result)
    node = model.graph.nodes[-1]
    assert (node.op_type, node.attributes["quant_type"]) == ("LUT", "S16")
    assert (node.attributes["int16_lut_step"], node.attributes["original_op_type"]) == (step, "Tanh")
    assert table_of(model).dims == (65536 // step + (step > 1),)
    assert not result.warnings


def test_a_16_bit_table_is_of_4_kib_unless_told_otherwise() -> None:
    model = prove(quantized(after_conv("Sigmoid"), "esp32p4", **WIDE))
    assert table_of(model).dims == (2049,)


def test_a_16_bit_table_takes_an_8_bit_tensor() -> None:
    layers = {"sigmoid1": {"bits": 16}}
    model = prove(quantized(after_conv("Sigmoid"), "esp32p4", layers=layers))
    assert [node.attributes["quant_type"] for node in model.graph.nodes] == ["S8", "S16", "S16"]


@pytest.mark.parametrize("target", ["esp32p4", "esp32s3"])
@pytest.mark.parametrize("wishes", [{}, WIDE])
def test_slopes_for_each_channel(target: str, wishes: dict[str, int]) -> None:
    slopes = np.array([0.25, 0.1, -0.7, 1.5, 0.0], np.float32).reshape(-1, 1, 1)
    result = quantized(after_conv("PRelu", slopes), target, **wishes)
    model = prove(result)
    node = model.graph.nodes[-1]
    (slope,) = (tensor for tensor in model.graph.initializers if tensor.name == node.inputs[1])
    assert node.op_type == "PRelu"
    assert slope.dims == (5, 1, 1)
    exponents = {info.name: info.exponents for info in model.graph.value_info}
    assert exponents[node.inputs[0]] == exponents[node.outputs[0]]
    np.testing.assert_allclose(slope.array * 2.0 ** slope.exponents[0], slopes, atol=0.01)
    assert f"{result.integer.integer_layers[-1].name}/slope" in result.integer.tensors


def test_one_slope_is_a_table_at_8_bits_and_exact_at_16() -> None:
    slope = np.array([0.3], np.float32).reshape(1, 1, 1)
    for model in (after_conv("PRelu", slope), after_conv("LeakyRelu", alpha=0.3)):
        assert "lut" in prove(quantized(model, "esp32p4")).graph.nodes[-1].attributes
        node = prove(quantized(model, "esp32p4", **WIDE)).graph.nodes[-1]
        assert node.op_type == "PRelu"
        assert "lut" not in node.attributes


def chosen() -> ir.Model:
    net = Net(x=("N", 3, 4, 4), y=("N", 3, 4, 4))
    x, y = net["x"], net["y"]
    return net.model(net.add("Where", net.add("Greater", x, np.float32(0.5)), x, y))


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (chosen(), "registers no module"),
        (after_conv("PRelu", np.full((5, 1, 1), 200, np.float32)), "a slope steeper than 127"),
        (after_conv("PRelu", np.full((1, 4, 4), 0.1, np.float32)), "slopes of shape [1, 4, 4]"),
    ],
)
def test_what_the_runtime_lacks_is_refused_with_its_reason(model: ir.Model, reason: str) -> None:
    with pytest.raises(QuaintError) as caught:
        quantized(model, "esp32p4")
    assert caught.value.code == "QT310"
    assert reason in caught.value.details[-1]
