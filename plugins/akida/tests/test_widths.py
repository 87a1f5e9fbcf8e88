"""Widths of QuantizeML's scheme: what they make of a layer, and what the hardware lacks of them."""

from __future__ import annotations

from typing import Any

import akida_reference as truth
import numpy as np
import pytest
from akida_layers import channels_first, run
from akida_nets import SAME, chain, dense, noise, quantize
from hypothesis import given, settings
from hypothesis import strategies as st

from quaint.errors import QuaintError
from quaint.numerics import FixedPoint, IntType
from quaint.testing.builder import Builder

INT16 = IntType(16, signed=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.data())
def test_buffers_saturate_at_any_width(seed: int, draw: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    weight = random.integers(-(1 << 15), 1 << 15, (1, 1, 2, 3))
    widths = {
        "buffer_bits": draw.draw(st.integers(16, 28)),
        "post_bits": draw.draw(st.integers(16, 32)),
        "output_bits": draw.draw(st.integers(1, 16)),
    }
    made: dict[str, Any] = widths | {
        "bias": random.integers(-128, 128, 3),
        "bias_shift": random.integers(0, 20, 3),
        "output_scales": random.integers(1, 256, 3),
        "output_shift": random.integers(-24, 0, 3),
        "gap": draw.draw(st.booleans()),
        "signed": draw.draw(st.booleans()),
    }
    constants = {name: made[name] for name in ("bias", "bias_shift")}
    constants |= {"output_scale": made["output_scales"], "output_shift": -made["output_shift"]}
    attributes = widths | {"strides": [1, 1], "pads": [0] * 4, "gap": made["gap"]}
    attributes |= {"output_signed": made["signed"]} if made["output_bits"] > 4 else {}
    xs = [random.integers(-(1 << 15), 1 << 15, (2, 3, 2)), np.full((2, 3, 2), INT16.high)]
    onnx_weight = weight.transpose(3, 2, 0, 1)
    result = run("conv2d", [channels_first(xs)], INT16, constants | {"weight": onnx_weight}, attributes)
    sums = [truth.convolve(x, weight, 1, "same", flipped=True) for x in xs]
    np.testing.assert_array_equal(result, channels_first([truth.finish2(acc, made) for acc in sums]))


def net() -> tuple[Builder, str]:
    made = Builder("net")
    x = chain(made, made.input(3, 8, 8), 3)
    x = made.conv(x, (8, 8), pads=SAME)  # no activation function: output_bits
    x = made.op("Relu", made.conv(x, (8, 8), pads=SAME))
    return made, dense(made, made.op("GlobalAveragePool", x), 8)


@pytest.mark.parametrize(
    ("wishes", "most"),
    [
        ({"input_weight_bits": 16, "activation_bits": 6, "output_bits": 12, "buffer_bits": 24}, 0.01),
        ({"weight_bits": 16, "input_weight_bits": 16, "activation_bits": 16, "output_bits": 16}, 0.005),
        ({"weight_bits": 6, "activation_bits": 12, "output_bits": 12, "last_output_bits": 16}, 0.01),
        ({"activation_bits": 2, "buffer_bits": 20, "per_tensor_activations": True}, 0.3),
    ],
)
def test_any_scheme_is_simulated(wishes: dict[str, Any], most: float) -> None:
    built, output = net()
    made, samples, float_values = quantize(built, "akida2", output, beyond_hardware=True, **wishes)
    assert any(line.startswith("not deployable: ") for line in made.warnings)
    assert noise(made, samples, float_values) < most


def test_widths_that_the_hardware_lacks_are_refused_or_named() -> None:
    built, output = net()
    with pytest.raises(QuaintError, match=r"QT340.*akida2 has no activation bits of 6, it has 4, 8; --beyond-hardware"):
        quantize(built, "akida2", output, activation_bits=6)
    with pytest.raises(QuaintError, match=r"QT340.*no output bits of 17, it has 2, "):
        quantize(built, "akida2", output, output_bits=17, beyond_hardware=True)
    with pytest.raises(QuaintError, match=r"QT340.*akida1 has no buffer bits of 24, it has 28, 32"):
        quantize(built, "akida1", output, buffer_bits=24)
    made, _, _ = quantize(built, "akida2", output, output_bits=12, beyond_hardware=True)
    assert made.warnings == ("not deployable: conv1 (Conv): an output of int12: take 4 or 8 bits",)


def test_what_the_hardware_has_stays_deployable() -> None:
    (one, output), (two, _) = net(), net()
    plain, samples, _ = quantize(one, "akida2", output)
    same, _, _ = quantize(two, "akida2", output, output_bits=8, buffer_bits=32, beyond_hardware=True)
    assert not same.warnings
    np.testing.assert_array_equal(plain.run(samples)[output], same.run(samples)[output])


def test_the_last_layer_may_have_an_output_quantizer() -> None:
    built, output = net()
    made, samples, float_values = quantize(built, "akida2", output, last_output_bits=8)
    last = made.integer.integer_layers[-1]
    assert last.attributes["output_bits"] == 8
    assert {"output_scale", "output_shift"} <= set(last.constants)
    assert noise(made, samples, float_values) < 0.01


def test_a_rectifier_has_unsigned_integers_of_fewer_than_8_bits() -> None:
    built, output = net()
    wishes: dict[str, Any] = {"activation_bits": 6, "beyond_hardware": True}
    made, _, _ = quantize(built, "akida2", output, **wishes)
    assert str(made.integer.tensors["relu0"].dtype) == "uint6"
    assert str(made.integer.tensors["conv1"].dtype) == "int8"
    made, _, _ = quantize(built, "akida2", output, **wishes, layers={"relu0": {"signed": True}})
    assert str(made.integer.tensors["relu0"].dtype) == "int6"


def test_buffers_of_one_layer() -> None:
    built, output = net()
    layers = {"conv1": {"buffer_bits": 24}, "relu1": {"buffer_bits": 26}}
    made, _, _ = quantize(built, "akida2", output, beyond_hardware=True, layers=layers)
    found = {layer.name: layer.attributes for layer in made.integer.integer_layers}
    assert (found["conv1"]["buffer_bits"], found["conv1"]["post_bits"]) == (24, 24)
    assert "buffer_bits" not in found["conv2"]
    assert found["conv2"]["post_bits"] == 26


def test_pi_in_eight_unsigned_bits() -> None:
    byte = IntType(8, signed=False)
    made = [FixedPoint.quantize(np.pi, bits, byte) for bits in (1, 3, 6)]
    assert [int(one.values) for one in made] == [6, 25, 201]
    assert [float(one.to_float()) for one in made] == [3.0, 3.125, 3.140625]
