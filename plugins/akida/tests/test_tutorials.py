"""What QuantizeML's public tutorials show of inputs, layers and tables, from ONNX and from Keras; test_q_config has the rest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from akida_nets import SAME, chain, dense
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from quaint import pipeline
from quaint.cli.group import quaint
from quaint.config import Config
from quaint.integer import EDGE_LAYERS, MOVES
from quaint.testing.builder import Builder
from quaint_akida.runtime_layers import VendorLayer, map_shape
from quaint_akida.runtime_layers2 import LAYERS
from quaint_akida.summary import rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from quaint.quantized import Quantized

#: Layers behind the input: convolution, depthwise and pointwise one with ReLUs, dense layer.
NAMES = ("conv", "relu", "dw_conv", "pw_conv", "relu_1", "flatten", "dense", "dequantizer")


def from_onnx(shape: tuple[int, int, int], dtype: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """The tutorials' network as exporters write one that is channel-last at its input; integers, or an image, are rescaled."""
    rows_, columns, channels = shape
    random, image = np.random.default_rng(0), channels == 3
    flat = 32 * -(-rows_ // 4) * -(-columns // 4)
    sizes = {"conv": (16, channels, 3, 3), "dw_conv": (16, 1, 3, 3), "pw_conv": (32, 16, 1, 1), "dense": (10, flat)}
    arrays: dict[str, Any] = {"scale": np.float32(1 / 255)}
    for name, size in sizes.items():
        arrays |= {
            f"{name}/kernel": random.normal(0, np.prod(size[1:]) ** -0.5, size),
            f"{name}/bias": np.zeros(size[0]),
        }
    same: dict[str, Any] = {"strides": [2, 2], "auto_pad": "SAME_UPPER"}
    head = (
        []
        if dtype == TensorProto.FLOAT
        else [helper.make_node("Cast", ["input"], ["real"], "cast", to=TensorProto.FLOAT)]
    )
    real = "real" if head else "input"
    if image:
        head.append(helper.make_node("Mul", [real, "scale"], ["rescale"], "rescale"))
    body = [
        ("Transpose", ["rescale" if image else real], "layout", {"perm": [0, 3, 1, 2]}),
        ("Conv", ["layout", "conv/kernel", "conv/bias"], "conv", same),
        ("Relu", ["conv"], "relu", {}),
        ("Conv", ["relu", "dw_conv/kernel", "dw_conv/bias"], "dw_conv", same | {"group": 16}),
        ("Conv", ["dw_conv", "pw_conv/kernel", "pw_conv/bias"], "pw_conv", {}),
        ("Relu", ["pw_conv"], "relu_1", {}),
        ("Flatten", ["relu_1"], "flatten", {}),
        ("Gemm", ["flatten", "dense/kernel", "dense/bias"], "dense", {"transB": 1}),
    ]
    nodes = [*head, *(helper.make_node(op, inputs, [name], name, **given) for op, inputs, name, given in body)]
    graph = helper.make_graph(
        nodes,
        "tutorial",
        [helper.make_tensor_value_info("input", dtype, ["N", *shape])],
        [helper.make_tensor_value_info("dense", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(np.asarray(array, np.float32), name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def from_keras(shape: tuple[int, int, int], dtype: int = TensorProto.FLOAT) -> Any:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input(shape, dtype="float32" if dtype == TensorProto.FLOAT else "uint8", name="input")
    x = layers.Rescaling(1 / 255, name="rescale")(image) if shape[2] == 3 else image
    x = layers.Conv2D(16, 3, strides=2, padding="same", name="conv")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", name="dw_conv")(x)
    x = layers.Conv2D(32, 1, name="pw_conv")(x)
    x = layers.Flatten(name="flatten")(layers.ReLU(name="relu_1")(x))
    return keras.Model(image, layers.Dense(10, name="dense")(x))


forms = pytest.mark.parametrize("build", [from_onnx, from_keras])


def pixels() -> np.ndarray[Any, np.dtype[Any]]:
    return np.random.default_rng(1).integers(0, 256, (32, 28, 28, 3))


def vendor_layers(model: Quantized) -> list[tuple[VendorLayer, tuple[int, int, int]]]:
    """The chip's layers in the terms of the akida package, with the shapes of what leaves them."""
    integer = model.integer
    chip = [layer for layer in integer.layers if layer.op not in EDGE_LAYERS | MOVES]
    return [(LAYERS[each.op](each, integer), map_shape(integer.shapes[each.outputs[0]])) for each in chip]


@forms
def test_a_float_image_enters_as_it_is(build: Callable[..., Any]) -> None:
    made = pipeline.quantize(
        build((28, 28, 3)), "akida2", pixels().astype(np.float32), Config(input_dtype="uint8", observer="moving-max")
    )
    first, *rest = (row for row in rows(made) if row.name != "layout")
    assert (first.kind, first.shape) == ("InputQuantizer", (28, 28, 3))
    assert first.output == "8 bits unsigned, scale [1 1 1], offset [0 0 0]"
    assert [row.name for row in rest] == ["rescale", *NAMES]
    assert not made.warnings


@forms
def test_an_image_typed_uint8_needs_no_quantizer(build: Callable[..., Any]) -> None:
    made = pipeline.quantize(build((28, 28, 3), TensorProto.UINT8), "akida2", pixels().astype(np.uint8))
    listed = [row for row in rows(made) if row.name not in {"layout", "cast"}]
    assert "InputQuantizer" not in {row.kind for row in listed}
    assert [row.name for row in listed] == ["rescale", *NAMES]
    x = pixels().astype(np.uint8)[:4]
    np.testing.assert_array_equal(made.run(x)["dense"], made.run(x, simulator="reference")["dense"])


@forms
def test_a_float_map_enters_as_int8(build: Callable[..., Any]) -> None:
    samples = np.random.default_rng(2).uniform(-1, 1, (32, 10, 25, 2)).astype(np.float32)
    made = pipeline.quantize(build((10, 25, 2)), "akida2", samples, Config(input_dtype="int8", observer="moving-max"))
    first, *_ = rows(made)
    assert (first.kind, first.shape) == ("InputQuantizer", (10, 25, 2))
    assert first.output.startswith("8 bits signed, scale [128 128]")
    converted = [(vendor.kind, vendor.variables["weights"].shape, shape) for vendor, shape in vendor_layers(made)]
    assert converted == [
        ("Conv2D", (3, 3, 2, 16), (5, 13, 16)),
        ("DepthwiseConv2D", (3, 3, 16, 1), (3, 7, 16)),
        ("Conv2D", (1, 1, 16, 32), (3, 7, 32)),
        ("Dense1D", (672, 10), (1, 1, 10)),
    ]
    assert [row.name for row in rows(made)][-1] == "dequantizer"


def table(*args: object) -> list[list[str]]:
    """The cells of what a command prints."""
    done = CliRunner().invoke(quaint, [str(arg) for arg in args], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    lines = [re.split(r" {2,}", line.strip()) for line in done.stdout.splitlines()]
    return [cells for cells in lines if len(cells) > 1]


def ds_cnn() -> tuple[Builder, str]:
    """Depthwise separable blocks on a spectrogram of 49 frames and 10 coefficients, as in keyword spotting."""
    net = Builder("ds_cnn")
    x = chain(net, net.input(1, 49, 10), 1)
    for _ in range(2):
        x = net.op("Relu", net.conv(x, (8, 8), pads=SAME, group=8))
        x = net.op("Relu", net.conv(x, (8, 8), (1, 1)))
    x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER")
    return net, dense(net, net.op("GlobalAveragePool", net.op("Relu", net.conv(x, (8, 8), pads=SAME))), 8)


def test_the_table_of_errors(tmp_path: Path) -> None:
    """A row for each layer; with a target layer one for each of its channels."""
    net, output = ds_cnn()
    model, samples = tmp_path / "ds_cnn.onnx", tmp_path / "samples.npz"
    model.write_bytes(net.build(output).SerializeToString())
    np.savez(samples, input=net.samples(16)["input"])
    table("akida", "quantize", "-m", model, "-sa", samples, "-s", tmp_path / "made")
    pair = ("-m", tmp_path / "made" / "ds_cnn.akida2.onnx", "-fm", model, "-sa", samples, "-bs", 8)
    command = ("akida", "analysis", "quantization_error", "single", *pair)
    head, *lines = table(*command)
    assert head == ["Layer/node", "SMAPE", "Saturation (%)"]
    convolutions = [f"conv{i} (conv2d)" for i in range(6)]
    assert [line[0] for line in lines] == [*convolutions, "flatten0 (dense1d)"]
    assert all(0 <= float(smape) < 0.2 and 0 <= float(saturated) < 50 for _, smape, saturated in lines)
    _, *channels = table(*command, "-tl", "flatten0")
    assert [line[0] for line in channels] == [f"flatten0 (dense1d):{i}" for i in range(10)]
