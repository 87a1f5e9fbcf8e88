"""Softmax, norms and quotients from float models: into the file, out of it, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest
from espdl_proof import Net, prove, quantized

from quaint.errors import QuaintError
from quaint.simulators.saved import to_bytes

if TYPE_CHECKING:
    import onnx_ir as ir

    from quaint.quantized import Quantized

RANDOM = np.random.default_rng(0)


def f(*values: float) -> Any:
    return np.asarray(values if len(values) > 1 else values[0], np.float32)


def rms(net: Net, x: ir.Value, *, inverse: bool = False, scaled: bool = True) -> ir.Value:
    square = net.add("Pow", x, f(2)) if inverse else net.add("Mul", x, x)
    root = net.add("Sqrt", net.add("Add", net.add("ReduceMean", square, np.array([-1])), f(1e-5)))
    normed = net.add("Mul", x, net.add("Reciprocal", root)) if inverse else net.add("Div", x, root)
    return net.add("Mul", normed, f(0.5, 1, 1.5, 2, -1, 1)) if scaled else normed


def lp(net: Net, x: ir.Value, norm: str) -> ir.Value:
    return net.add("Div", x, net.add("Max", net.add(norm, x, np.array([1])), f(1e-12)))


LAYERS: dict[str, Any] = {
    "softmax": (lambda n, x, _: n.add("Softmax", x, axis=1), ["Softmax", "QuantizeLinear"]),
    "softmax_last": (lambda n, x, _: n.add("Softmax", x, axis=-1), ["Softmax", "QuantizeLinear"]),
    "log_softmax": (lambda n, x, _: n.add("LogSoftmax", x, axis=1), ["LogSoftmax", "QuantizeLinear"]),
    "layer_norm": (
        lambda n, x, _: n.add("LayerNormalization", x, f(1, 2, 3, 1, 0.5, 1), f(0, 1, 0, -1, 0, 0.25)),
        ["Transpose", "LayerNormalization", "Transpose"],
    ),
    "rms_norm": (lambda n, x, _: rms(n, x), ["Transpose", "RMSNormalization", "Transpose"]),
    "rms_norm_inverse": (lambda n, x, _: rms(n, x, inverse=True), ["Transpose", "RMSNormalization", "Transpose"]),
    "rms_norm_plain": (lambda n, x, _: rms(n, x, scaled=False), ["Transpose", "RMSNormalization", "Transpose"]),
    "lp_norm": (lambda n, x, _: n.add("LpNormalization", x, axis=1), ["LpNormalization"]),
    "lp_norm_1": (lambda n, x, _: n.add("LpNormalization", x, axis=2, p=1), ["LpNormalization"]),
    "lp_norm_spelled_out": (lambda n, x, _: lp(n, x, "ReduceL2"), ["LpNormalization"]),
    "lp_norm_1_spelled_out": (lambda n, x, _: lp(n, x, "ReduceL1"), ["LpNormalization"]),
    "div": (lambda n, x, y: n.add("Div", x, n.add("Sigmoid", y)), ["Div"]),
    "div_from_channels": (lambda n, x, _: n.add("Div", CHANNELS, n.add("Sigmoid", x)), ["Div"]),
    "mod": (lambda n, x, y: n.add("Mod", x, n.add("Sigmoid", y), fmod=1), ["Mod"]),
}
CHANNELS = np.linspace(0.5, 2, 4, dtype=np.float32).reshape(1, 4, 1, 1)


def made(layer: Any, target: str, bits: int) -> Quantized:
    """A layer between two convolutions."""
    net = Net(x=("N", 4, 6, 6))
    weights = RANDOM.normal(size=(4, 4, 3, 3)).astype(np.float32) / 4
    x = net.add("Conv", net["x"], weights, pads=[1, 1, 1, 1])
    y = layer(net, x, net["x"])
    model = net.model(net.add("Conv", y, RANDOM.normal(size=(3, 4, 1, 1)).astype(np.float32)))
    return quantized(model, target, activation_bits=bits, weight_bits=bits)


def same_everywhere(result: Quantized) -> None:
    """The reference, onnxruntime, and the saved file in plain onnxruntime: the same bits."""
    x = {"x": RANDOM.normal(size=(3, 4, 6, 6)).astype(np.float32)}
    truth = result.run(x, simulator="reference")
    saved = to_bytes(result.integer, result.target.all_kernels(), {})
    session = ort.InferenceSession(saved)
    names = [value.name for value in session.get_outputs()]
    in_file = dict(zip(names, session.run(None, x), strict=True))
    for name, value in truth.items():
        np.testing.assert_array_equal(result.run(x, simulator="onnxruntime")[name], value)
        np.testing.assert_array_equal(in_file[name], value)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("target", ["esp32p4", "esp32s3"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, target: str, bits: int) -> None:
    layer, nodes = LAYERS[name]
    result = made(layer, target, bits)
    same_everywhere(result)
    operators = [node.op_type for node in prove(result).graph.nodes]
    assert operators[-1 - len(nodes) : -1] == nodes
    assert not [warning for warning in result.warnings if "accumulator" not in warning]


@pytest.mark.parametrize("target", ["esp32p4", "esp32s3"])
def test_power_of_two_tensors(target: str) -> None:
    result = made(lambda n, x, y: n.add("Pow", n.add("Sigmoid", x), n.add("Sigmoid", y)), target, 8)
    same_everywhere(result)
    assert [node.op_type for node in prove(result).graph.nodes][-2] == "Pow"


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    "layer",
    [
        lambda n, x, _: n.add("Pow", x, f(3)),
        lambda n, x, _: n.add("Pow", f(1.5), x),
        lambda n, x, _: n.add("Mod", x, f(0.75), fmod=1),
        lambda n, x, _: n.add("Mod", f(0.75), x, fmod=1),
    ],
)
def test_functions_of_one_tensor_and_a_number_are_tables(layer: Any, bits: int) -> None:
    result = made(layer, "esp32p4", bits)
    same_everywhere(result)
    assert [node.op_type for node in prove(result).graph.nodes][-2] == "LUT"


@pytest.mark.parametrize(("bits", "operator"), [(8, "LUT"), (16, "Div")])
def test_quotients_with_a_number(bits: int, operator: str) -> None:
    result = made(lambda n, x, _: n.add("Div", f(2), n.add("Sigmoid", x)), "esp32p4", bits)
    same_everywhere(result)
    assert [node.op_type for node in prove(result).graph.nodes][-2] == operator


def test_a_last_softmax_gives_floats() -> None:
    net = Net(x=("N", 10))
    result = quantized(
        net.model(net.add("Softmax", net.add("Gemm", net["x"], np.eye(10, dtype=np.float32)))), "esp32p4"
    )
    assert [node.op_type for node in prove(result).graph.nodes] == ["Gemm", "Softmax"]


def test_exponentials_that_overflow_are_told_of() -> None:
    net = Net(x=("N", 10))
    y = net.add("Softmax", net["x"])
    model = net.model(net.add("Gemm", y, np.eye(10, dtype=np.float32)))
    samples = {"x": np.linspace(-120, 120, 80, dtype=np.float32).reshape(8, 10)}
    assert any("overflows" in line for line in quantized(model, "esp32p4", samples, observer="minmax").warnings)
    wide = quantized(model, "esp32p4", samples, activation_bits=16, weight_bits=16)
    assert not any("overflows" in line for line in wide.warnings)


@pytest.mark.parametrize(
    ("layer", "bits", "reason"),
    [
        (lambda n, x, y: n.add("Mod", x, y, fmod=0), 8, "fmod = 0"),
        (lambda n, x, y: n.add("Pow", n.add("Sigmoid", x), y), 16, "powers of tensors at 16 bits"),
        (lambda n, _, y: n.add("Div", y, CHANNELS * 0), 8, "divides by a constant zero"),
        (
            lambda n, _, y: n.add("LayerNormalization", y, np.ones((6, 6), np.float32), axis=2),
            8,
            "more than the last axis",
        ),
    ],
)
def test_refusals(layer: Any, bits: int, reason: str) -> None:
    with pytest.raises(QuaintError, match="QT310") as caught:
        made(layer, "esp32p4", bits)
    assert any(reason in line for line in caught.value.details)


def test_a_norm_within_limits_is_divided_by_as_it_is() -> None:
    def limited(net: Net, x: ir.Value, _: ir.Value) -> ir.Value:
        return net.add("Div", x, net.add("Max", net.add("ReduceL2", x, np.array([1])), f(0.5)))

    result = made(limited, "esp32p4", 8)
    same_everywhere(result)
    assert [node.op_type for node in prove(result).graph.nodes][-2] == "Div"
