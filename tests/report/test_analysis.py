"""Analysis: against the same numbers computed here, tensor by tensor."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from quaint.errors import QuaintError
from quaint.floatmodel import FloatModel
from quaint.report import analyze
from quaint.report.analysis import LIMIT

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from quaint.quantized import Quantized


@pytest.fixture(scope="module")
def x(digits: Path) -> NDArray[np.float32]:
    with np.load(digits / "test.npz") as samples:
        return np.asarray(samples["input"])


def test_noise_of_every_layer(quantized: Quantized, x: NDArray[np.float32]) -> None:
    report = analyze(quantized, x)
    assert report.samples == LIMIT
    names = [layer.output for layer in report.layers]
    assert quantized.source is not None
    real = FloatModel(quantized.source, names).run({"input": x[:LIMIT]})
    for layer, entry in zip(quantized.integer.integer_layers, report.layers, strict=True):
        integers = quantized.run(x[:LIMIT], outputs=layer.outputs, simulator="reference")[layer.outputs[0]]
        mine = quantized.integer.tensors[layer.outputs[0]].dequantize(integers)
        expected = ((mine - real[entry.output]) ** 2).sum() / (real[entry.output].astype(np.float64) ** 2).sum()
        assert entry.noise == pytest.approx(expected)
        assert entry.saturated == ((integers == 127) | (integers == -128)).mean()


def test_facts_of_the_layers(quantized: Quantized, x: NDArray[np.float32]) -> None:
    report = quantized.analyze(x)
    conv, pool = report.layers[:2]
    assert (conv.name, conv.op, conv.bits, conv.dtype, conv.shape) == ("conv1", "conv", "8/8", "int8", (None, 16, 8, 8))
    assert (pool.name, pool.bits, pool.macs) == ("pool1", "8", 0)
    assert report.layers[-1].output == "logits"
    assert report.totals["macs"] == 120960
    assert report.totals["parameter_bytes"] == sum(layer.parameter_bytes for layer in quantized.integer.integer_layers)
    assert report.outputs.keys() == {"logits"}
    assert report.outputs["logits"] == pytest.approx(report.layers[-1].noise)
    assert report.agreement is not None
    assert report.agreement > 0.95


def test_the_samples_may_be_many_things(quantized: Quantized, x: NDArray[np.float32]) -> None:
    report = analyze(quantized, x[:10])
    assert report.samples == 10
    assert analyze(quantized, {"input": x[:10]}) == report
    assert analyze(quantized, quantized.samples).samples == LIMIT


def test_without_the_float_source_there_are_no_errors(quantized: Quantized, x: NDArray[np.float32]) -> None:
    report = analyze(replace(quantized, source=None), x[:4])
    assert {layer.noise for layer in report.layers} == {None}
    assert {layer.macs for layer in report.layers} == {None}
    assert report.outputs == {}
    assert report.agreement is None
    assert all(layer.saturated is not None for layer in report.layers)


def test_wrong_names(quantized: Quantized, x: NDArray[np.float32]) -> None:
    with pytest.raises(QuaintError, match="QC212"):
        analyze(quantized, {"image": x[:4]})
