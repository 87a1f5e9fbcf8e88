from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from espdl_proof import Net, prove, quantized

if TYPE_CHECKING:
    from quaint_espdl.file.elements import EspdlModel, EspdlNode


def only_node(net: Net, output: Any, target: str = "esp32p4", **config: Any) -> tuple[EspdlModel, EspdlNode]:
    model = prove(quantized(net.model(output), target, **config))
    (node,) = model.graph.nodes
    return model, node


def test_incomplete_windows_become_a_border() -> None:
    net = Net(x=("N", 2, 8))
    _, node = only_node(net, net.add("MaxPool", net["x"], kernel_shape=[3], strides=[2], ceil_mode=1))
    assert node.attributes["ceil_mode"] == 0
    assert node.attributes["pads"] == (0, 1)


@pytest.mark.parametrize(("bits", "bias", "layout"), [(8, "INT32", "(N/16)HWC16"), (16, "INT64", "(N/8)HWC8")])
def test_weights_are_packed_and_biases_wide(bits: int, bias: str, layout: str) -> None:
    net = Net(x=("N", 4))
    x = net.add("Gemm", net["x"], np.eye(16, 4, dtype=np.float32), np.ones(16, np.float32), transB=1)
    model, node = only_node(net, x, weight_bits=bits, activation_bits=bits)
    weights, biases = model.graph.initializers
    assert node.inputs == ("x", weights.name, biases.name)
    assert (weights.dims, weights.layout) == ((1, 1, 4, 16), layout)
    assert (biases.dims, biases.dtype.name) == ((16,), bias)
    (entering,) = model.graph.inputs[0].exponents
    assert biases.exponents == tuple(exponent + entering for exponent in weights.exponents)


def test_a_transposed_convolution_of_stride_one_needs_no_zeros() -> None:
    net = Net(x=("N", 2, 5, 5))
    _, node = only_node(net, net.add("ConvTranspose", net["x"], np.ones((2, 3, 3, 3), np.float32), pads=[1, 1, 1, 1]))
    assert (node.op_type, node.attributes["pads"]) == ("Conv", (1, 1, 1, 1))


@pytest.mark.parametrize(("low", "high", "op_type"), [(0, 100, "Relu"), (0, 0.375, "Clip"), (-1, 1, "Clip")])
def test_a_clip_that_only_cuts_below_zero_is_a_relu(low: float, high: float, op_type: str) -> None:
    net = Net(x=("N", 4))
    _, node = only_node(net, net.add("Clip", net["x"], np.float32(low), np.float32(high)))
    assert node.op_type == op_type
    assert ("lut" in node.attributes) == (op_type == "Clip")
