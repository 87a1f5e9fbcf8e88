"""Flash, memory and what was inserted: counted by hand on the digits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from quaint import pipeline
from quaint.config import Config
from quaint.report.cost import cost, cost_of_plan
from quaint.report.text import cost_line

if TYPE_CHECKING:
    from pathlib import Path

    from quaint.quantized import Quantized
    from quaint.target import Target


def test_layers_of_a_quantized_model(quantized: Quantized) -> None:
    spent = cost(quantized)
    conv1, pool1 = spent.layers[:2]
    assert (conv1.name, conv1.weight_bytes, conv1.bias_bytes, conv1.output_bytes) == ("conv1", 144, 64, 1024)
    assert (conv1.live_bytes, conv1.macs) == (1024 + 64, 9216)
    assert (pool1.weight_bytes, pool1.output_bytes, pool1.macs) == (0, 256, 0)
    assert spent.totals["weight_bytes"] == 144 + 32 * 16 * 9 + 32 * 9 + 64 * 32 + 640
    assert spent.totals["bias_bytes"] == 4 * (16 + 32 + 32 + 64 + 10)
    assert spent.totals["macs"] == 120960
    assert spent.peak_memory_bytes >= max(layer.live_bytes for layer in spent.layers) == 1536
    assert spent.peak_layer == "pointwise3"
    assert (spent.requantizations, spent.transposes, spent.file_bytes) == (0, None, None)


def test_before_quantization_the_numbers_are_nearly_the_same(quantized: Quantized, demo: Target, digits: Path) -> None:
    config = pipeline.wishes(demo, None)
    model = pipeline.canonical(pipeline.load_model(digits / "digits.onnx"), config)
    planned, made = cost_of_plan(pipeline.divide(model, demo, config)), cost(quantized)
    for key in ("weight_bytes", "bias_bytes", "macs"):
        assert planned.totals[key] == made.totals[key]
    assert planned.peak_memory_bytes == made.peak_memory_bytes
    assert [layer.name for layer in planned.layers] == [layer.name for layer in made.layers]
    assert planned.layers[0].op == "Conv Relu"


def test_width_counts(demo: Target, digits: Path) -> None:
    config = pipeline.wishes(demo, Config(weight_bits=4))
    model = pipeline.canonical(pipeline.load_model(digits / "digits.onnx"), config)
    assert cost_of_plan(pipeline.divide(model, demo, config)).layers[0].weight_bytes == 72


def test_the_saved_model_is_what_is_deployed_without_an_exporter(quantized: Quantized) -> None:
    files = quantized.files("net")
    spent = cost(quantized, files)
    assert spent.file == "net.demo8.onnx"
    assert spent.file_bytes == len(files["net.demo8.onnx"])
    assert spent.to_dict()["totals"]["parameter_bytes"] == sum(layer.parameter_bytes for layer in spent.layers)


def test_one_line(quantized: Quantized) -> None:
    line = cost_line(replace(cost(quantized), requantizations=2, transposes=1, file="f", file_bytes=2048))
    assert line.startswith("2.0 KiB of flash for f; ")
    assert line.endswith("120,960 MACs; 2 requantizations inserted; 1 transposition inserted")
