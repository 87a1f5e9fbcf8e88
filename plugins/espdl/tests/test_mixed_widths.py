"""A change of width on an edge, the model's input included, is a node of the file, whatever layer reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from espdl_proof import Net, prove, quantized

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

RANDOM = np.random.default_rng(5)
WEIGHT = RANDOM.normal(size=(4, 4, 1, 1)).astype(np.float32)

LAYERS: dict[str, Callable[[Net, Any, Any], Any]] = {
    "conv": lambda net, x, _: net.add("Conv", x, WEIGHT),
    "conv_transpose": lambda net, x, _: net.add("ConvTranspose", x, WEIGHT),
    "add": lambda net, x, y: net.add("Add", x, y),
    "multiply": lambda net, x, y: net.add("Mul", x, y),
    "concat": lambda net, x, y: net.add("Concat", x, y, axis=1),
    "max_pool": lambda net, x, _: net.add("MaxPool", x, kernel_shape=[2, 2], pads=[1, 1, 0, 0]),
    "average_pool": lambda net, x, _: net.add("AveragePool", x, kernel_shape=[2, 2]),
    "relu": lambda net, x, _: net.add("Relu", x),
    "transpose": lambda net, x, _: net.add("Transpose", x, perm=[0, 1, 3, 2]),
    "reshape": lambda net, x, _: net.add("Reshape", x, np.asarray([0, 4, 9, 4])),
}


def graph(kind: str) -> tuple[ir.Model, str]:
    """The layer reads the model's input and a convolution, and a convolution reads it."""
    net = Net(x=("N", 4, 6, 6))
    made = LAYERS[kind](net, net["x"], net.add("Conv", net["x"], WEIGHT))
    name = made.producer().name
    last = np.concatenate([WEIGHT, WEIGHT], axis=1) if kind == "concat" else WEIGHT
    return net.model(net.add("Conv", made, last)), name


@pytest.mark.parametrize("target", ["esp32p4", "esp32s3", "esp32"])
@pytest.mark.parametrize(("bits", "others"), [("int16", "int8"), ("int8", "int16")])
@pytest.mark.parametrize("kind", LAYERS)
def test_each_layer_among_layers_of_another_width(kind: str, bits: str, others: str, target: str) -> None:
    model, name = graph(kind)
    widths = {pattern: {"bits": int(word[3:])} for pattern, word in (("*", others), (name, bits))}
    file = prove(quantized(model, target, layers=widths))
    dtypes = {info.name: info.dtype.name for info in file.graph.value_info}
    for node in file.graph.nodes:
        if node.op_type == "RequantizeLinear":
            continue
        used = {dtypes[tensor] for tensor in (*node.inputs, *node.outputs) if tensor in dtypes}
        assert used == {f"INT{node.attributes['quant_type'][1:]}"}, node.name
    assert {node.attributes["quant_type"] for node in file.graph.nodes} == {"S8", "S16"}
