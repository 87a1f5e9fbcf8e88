from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from espdl_proof import Net, quantized

from quaint.errors import QuaintError

if TYPE_CHECKING:
    import onnx_ir as ir

RANDOM = np.random.default_rng(0)


def weights(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return RANDOM.normal(size=shape).astype(np.float32)


def volume() -> ir.Model:
    net = Net(x=("N", 2, 4, 4, 4))
    return net.model(net.add("Conv", net["x"], weights(3, 2, 3, 3, 3)))


def dilated_pool() -> ir.Model:
    net = Net(x=("N", 2, 9, 9))
    return net.model(net.add("MaxPool", net["x"], kernel_shape=[2, 2], dilations=[2, 2]))


def cropped() -> ir.Model:
    net = Net(x=("N", 2, 5, 5))
    return net.model(net.add("ConvTranspose", net["x"], weights(2, 3, 2, 2), pads=[2, 2, 2, 2]))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (volume, "5 axes, the runtime takes 4"),
        (dilated_pool, "max pooling with dilation"),
        (cropped, "crops more than its kernel reaches"),
    ],
)
def test_what_the_runtime_lacks_is_refused_with_its_reason(make: Any, reason: str) -> None:
    with pytest.raises(QuaintError) as caught:
        quantized(make(), "esp32p4")
    assert caught.value.code == "QT310"
    assert reason in caught.value.details[0]


def test_weights_and_activations_of_a_layer_have_one_width() -> None:
    net = Net(x=("N", 4))
    with pytest.raises(QuaintError, match="esp32p4 cannot run 1 layer") as caught:
        quantized(net.model(net.add("Gemm", net["x"], weights(4, 4))), "esp32p4", activation_bits=16)
    assert "weights of 8 bits with activations of 16" in caught.value.details[0]


def test_a_16_bit_layer_takes_the_model_input_in_16_bits() -> None:
    net = Net(x=("N", 3, 4, 4))
    result = quantized(
        net.model(net.add("Conv", net["x"], weights(5, 3, 1, 1))), "esp32p4", layers={"conv0": {"bits": 16}}
    )
    assert [result.integer.tensors[name].dtype.bits for name in result.integer.integer_inputs] == [16]
    assert [layer.op for layer in result.integer.integer_layers] == ["conv"]


def test_the_scale_before_a_clip_is_that_of_what_the_clip_lets_through() -> None:
    net = Net(x=("N", 3, 4, 4))
    x = net.add("Clip", net.add("Conv", net["x"], 100 * weights(5, 3, 1, 1)), np.float32(0), np.float32(6))
    integer = quantized(net.model(x), "esp32p4").integer
    assert float(integer.tensors[integer.integer_outputs[0]].scale) == 2.0**-4
