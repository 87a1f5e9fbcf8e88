"""What a file costs: by hand, and next to the file itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from espdl_proof import DIGITS, Net, quantized

import quaint
from quaint.report.cost import cost
from quaint_espdl.file.container import read
from quaint_espdl.writing.cost import OVERWRITING, VIEWS, exporter


@pytest.fixture(scope="module")
def digits() -> Any:
    samples = {"input": np.load(DIGITS / "calibration.npz")["input"][:64]}
    return quantized(ir.load(DIGITS / "digits.onnx"), "esp32p4", samples)


def test_constants_are_those_of_the_file(digits: Any) -> None:
    files = digits.files("digits")
    spent = cost(digits, files)
    name = "digits.esp32p4.espdl"
    assert (spent.file, spent.file_bytes) == (name, len(files[name]))
    constants = read(files[name]).graph.initializers
    assert spent.totals["parameter_bytes"] == sum(len(tensor.raw) for tensor in constants)
    conv1 = spent.layers[0]
    assert (conv1.name, conv1.op, conv1.weight_bytes, conv1.bias_bytes) == ("conv1", "Conv", 144, 64)
    assert conv1.macs == 9216
    assert (spent.requantizations, spent.transposes) == (0, 0)
    assert spent.peak_memory_bytes == 1024 + 512 + 512  # pointwise3: its output, its input, and a gap


def test_what_was_inserted_is_counted() -> None:
    net = Net(x=("N", 3, 4, 6))
    weight = np.random.default_rng(0).normal(size=(5, 3, 1, 1)).astype(np.float32)
    x = net.add("Flatten", net.add("Conv", net["x"], weight, np.ones(5, np.float32)))
    samples = {"x": np.random.default_rng(0).normal(size=(32, 3, 4, 6)).astype(np.float32)}
    model = quaint.quantize(net.model(x), "esp32p4", samples)
    spent = cost(model, model.files("net"))
    assert spent.transposes == 1
    transposed = next(layer for layer in spent.layers if layer.op == "Transpose")
    assert transposed.output_bytes == 5 * 4 * 6
    flat = next(layer for layer in spent.layers if layer.op == "Reshape")
    assert flat.live_bytes == 128  # in place: the bytes of the transposed tensor


def test_widths_between_layers_are_counted() -> None:
    config = quaint.Config(layers={"pointwise3": {"bits": 16}})
    model = quaint.quantize(DIGITS / "digits.onnx", "esp32p4", np.load(DIGITS / "calibration.npz")["input"], config)
    spent = cost(model, model.files("digits"))
    assert spent.requantizations == 2
    assert [layer.op for layer in spent.layers].count("RequantizeLinear") == 2


def test_nothing_is_said_of_an_encrypted_file(digits: Any) -> None:
    files = digits.files("digits")
    name = "digits.esp32p4.espdl"
    encrypted = {**files, name: files[name][:4] + b"\1\0\0\0" + files[name][8:]}
    assert exporter.cost(digits, encrypted) is None
    spent = cost(digits, encrypted)
    assert (spent.file, spent.transposes) == (name, None)


def test_operators_are_of_one_kind() -> None:
    assert not VIEWS & OVERWRITING
