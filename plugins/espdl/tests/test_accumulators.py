"""Sums that leave the accumulator: simulated, written, read back and interpreted alike, and told of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest
from espdl_proof import Net, prove, quantized
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from quaint.integer import Layer
from quaint.numerics import IntType
from quaint.simulators.saved import to_bytes
from quaint_espdl.accumulators import limited, reach
from quaint_espdl.targets import TARGETS

if TYPE_CHECKING:
    from quaint.quantized import Quantized

SAMPLES = {"x": np.sign(np.random.default_rng(0).normal(size=(8, 64, 6, 6)))}
INT8 = IntType(8, signed=True)


def waves(*shape: int) -> Any:
    """Weights of 127 and -127 whose sums go far up and come back: by the kernel's positions, or along the last axis."""
    row = np.ones(int(np.prod(shape[2:])) if len(shape) > 2 else shape[1], np.float32)
    row[-(row.size // 2) :] = -1
    row[row.size // 2 : -(row.size // 2)] = 0
    spread = row.reshape(shape[2:]) if len(shape) > 2 else row
    return np.broadcast_to(spread * np.float32(127 / 64), shape)


def result(kind: str, target: str = "esp32s3", channels: int = 19, **config: Any) -> Quantized:
    """One layer; three of its filters fill no vector."""
    net = Net(x=(1, 64, 6, 6))
    x = net["x"]
    match kind:
        case "conv":
            x = net.add("Conv", x, waves(channels, 64, 3, 3), pads=[1, 1, 1, 1])
        case "conv1d":
            x = net.add("Conv", net.add("Reshape", x, np.array([1, 64, 36])), waves(channels, 64, 3))
        case "depthwise":
            x = net.add("Conv", x, waves(64, 1, 6, 6), group=64)
        case "transpose":
            x = net.add("ConvTranspose", x, waves(64, channels, 3, 3), strides=[2, 2], pads=[1, 0, 0, 1])
        case "gemm":
            x = net.add("Gemm", net.add("Flatten", x), waves(channels, 2304), transB=1)
        case _:
            x = net.add("MatMul", net.add("Reshape", x, np.array([1, 4, 576])), waves(channels, 576).T)
    return quantized(net.model(x), target, SAMPLES, **{"quantizer": "ranges", "observer": "minmax"} | config)


def limits(made: Quantized) -> list[Any]:
    """The bits of accumulators that are known to be too narrow for some sums."""
    layers = [layer.attributes for layer in made.integer.layers]
    return [given["accumulator_bits"] for given in layers if "accumulator_bits" in given]


def extremes(integer: Any) -> dict[str, Any]:
    """Inputs at the ends of their range: the same for all channels, so that waves of weights are waves of sums."""
    (name,) = integer.integer_inputs
    signs = np.where(np.random.default_rng(0).random((1, 1, 6, 6)) < 0.8, 127, -128)
    return {name: np.broadcast_to(signs, (1, 64, 6, 6)).astype(np.int8)}


def saved(made: Quantized, feeds: dict[str, Any], output: str) -> Any:
    """What plain onnxruntime makes of the saved model."""
    session = ort.InferenceSession(to_bytes(made.integer, made.target.all_kernels(), {}))
    ((name, integers),) = feeds.items()
    (result,) = session.run([output], {"x": integers * made.integer.tensors[name].scale.astype(np.float32)})
    return result


@pytest.mark.parametrize("kind", ["conv", "conv1d", "transpose", "gemm", "matmul"])
def test_sums_that_saturate_are_the_same_everywhere(kind: str) -> None:
    made = result(kind)
    prove(made)  # the file is read back and interpreted
    feeds, (output,) = extremes(made.integer), made.integer.integer_outputs
    exact, traced = (made.simulator(name).run(feeds, [output])[output] for name in ("reference", "onnxruntime"))
    np.testing.assert_array_equal(exact, traced)
    np.testing.assert_array_equal(exact, saved(made, feeds, output))
    assert limits(made) == [[20] * 16 + [40] * 3]
    channels = np.moveaxis(exact, -1 if kind in {"gemm", "matmul"} else 1, 0)
    assert (channels[0] != channels[16]).any(), "the same filter, in a vector and in the tail"


def test_the_user_is_told_which_layer_and_what_helps() -> None:
    (warning,) = (line for line in result("conv").warnings if "accumulator" in line)
    assert warning.startswith("layer 'conv0': 16 of 19 channels can exceed the 20-bit accumulator")
    assert "16 bits" in warning


@pytest.mark.parametrize(("target", "bits"), [("esp32s3", 16), ("esp32p4", 8), ("esp32", 8)])
def test_wide_accumulators_hold_it(target: str, bits: int) -> None:
    made = result("conv", target, weight_bits=bits, activation_bits=bits)
    assert not any("accumulator" in line for line in made.warnings)
    assert not limits(made)


def test_what_no_sum_can_reach_has_no_limits() -> None:
    """36 products of 128 and 127 pass 2**19; of inputs that are not negative, half of them can be."""
    assert limits(result("depthwise")) == [20]
    model = Net(x=(1, 64, 6, 6))
    x = model.add("Conv", model.add("Relu", model["x"]), waves(64, 1, 6, 6), group=64)
    assert not limits(quantized(model.model(x), "esp32s3", SAMPLES))


def sums(weight: int, terms: int = 64, target: str = "esp32", **options: Any) -> tuple[Layer, str | None]:
    constants = {"weight": np.full((terms, 2), weight), "bias": np.array([0, 2**31 - 1])}
    return limited(Layer("gemm", ("x",), ("y",), constants), TARGETS[target], INT8, **options)


def test_plain_c_code_wraps_around() -> None:
    layer, warning = sums(1)
    assert layer.attributes == {"accumulator_bits": 32, "accumulator_wraps": True}
    assert warning is not None
    assert "1 of 2 channels" in warning
    assert "wraps around" in warning


def test_what_happens_on_the_p4_is_not_simulated() -> None:
    layer, warning = sums(1, target="esp32p4")
    assert not layer.attributes
    assert warning is not None
    assert "not simulated" in warning


small = st.integers(-128, 127)


@given(
    weight=arrays(np.int64, (5, 3), elements=small),
    bias=arrays(np.int64, 3, elements=st.integers(-999, 999)),
    data=st.data(),
)
def test_no_partial_sum_goes_beyond_the_reach(weight: Any, bias: Any, data: st.DataObject) -> None:
    x = data.draw(arrays(np.int64, 5, elements=small))
    layer = Layer("gemm", ("x",), ("y",), {"weight": weight, "bias": bias})
    order = data.draw(st.permutations(range(5)))
    partial = bias + np.cumsum(x[order, None] * weight[order], axis=0)
    assert (np.abs(partial) <= reach(layer, -128, 127)).all()


def test_the_width_is_that_after_the_change() -> None:
    """A layer of 16 bits sums what comes in 8 bits in its own wide accumulators, and the other way round."""
    net = Net(x=("N", 64, 6, 6))
    first = net.add("Conv", net["x"], waves(16, 64, 1, 1))
    model = net.model(net.add("Conv", first, waves(16, 16, 3, 3)))
    for wide, told in (("conv1", "conv0"), ("conv0", "conv1")):
        made = quantized(model, "esp32s3", SAMPLES, layers={wide: {"bits": 16}})
        limits = {
            layer.name: "accumulator_bits" in layer.attributes
            for layer in made.integer.integer_layers
            if layer.op == "conv"
        }
        assert limits == {wide: False, told: True}
