"""Errors by layer: against the same numbers computed the long way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from quaint.errors import QuaintError
from quaint.floatmodel import FloatModel
from quaint.report.layer_errors import Bench, layer_errors, sensitivities
from quaint.report.metrics import Noise, dequantized
from quaint.report.pairing import pieces

if TYPE_CHECKING:
    from quaint.quantized import Quantized


@pytest.fixture(scope="module")
def bench(quantized: Quantized) -> Bench:
    return Bench(quantized, 12)


def test_pieces_are_the_layers(quantized: Quantized) -> None:
    found = list(pieces(quantized))
    assert [piece.layer for piece in found] == [layer.name for layer in quantized.integer.integer_layers]
    assert found[0].inputs == ("input_int",)
    assert (found[-1].output, found[-1].real) == ("logits_int", "logits")


def test_cumulative_errors_are_those_of_the_whole_model(bench: Bench, quantized: Quantized) -> None:
    errors = {error.layer: error for error in layer_errors(bench, cumulative=True)}
    assert quantized.source is not None
    real = FloatModel(quantized.source).run(bench.feeds)["logits"]
    mine = quantized.run(bench.feeds)["logits"]
    assert errors["dense"].noise == pytest.approx(((mine - real) ** 2).sum() / (real**2).sum(), rel=1e-4)
    smape = (np.abs(mine - real) / (np.abs(mine) + np.abs(real))).mean()
    assert errors["dense"].smape == pytest.approx(smape, rel=1e-4)


def test_a_layers_own_error_is_on_what_the_float_model_gives_it(bench: Bench, quantized: Quantized) -> None:
    alone = {error.layer: error.noise or 0 for error in layer_errors(bench)}
    together = {error.layer: error.noise or 0 for error in layer_errors(bench, cumulative=True)}
    assert alone["conv1"] == together["conv1"]  # the first layer sees the same
    assert alone["dense"] < together["dense"]
    piece = bench.pieces[-1]
    source = quantized.integer.tensors[piece.inputs[0]]
    integers = source.quantize(bench.floats[bench.reals[piece.inputs[0]]]).astype(source.dtype.storage)
    made = quantized.simulator("reference").run({piece.inputs[0]: integers}, (piece.output,))[piece.output]
    assert np.array_equal(bench.alone(piece), made)


def test_one_layer_by_channel(bench: Bench) -> None:
    rows = list(layer_errors(bench, layer="dense"))
    assert [row.channel for row in rows] == list(range(10))
    with pytest.raises(QuaintError, match=r"QP511.*did you mean 'dense'"):
        list(layer_errors(bench, layer="dens"))


def test_sensitivity_is_what_one_rounded_tensor_does_to_the_output(bench: Bench, quantized: Quantized) -> None:
    effects = {effect.layer: effect for effect in sensitivities(bench)}
    assert list(effects) == [piece.layer for piece in bench.pieces]
    piece = next(piece for piece in bench.pieces if piece.layer == "gap")
    values = dequantized(bench.alone(piece), quantized.integer.tensors[piece.output])
    assert quantized.source is not None
    dense = next(node for node in quantized.source.graph if node.name == "dense")
    weight, bias = (np.asarray(value.const_value.numpy()) for value in dense.inputs[1:])  # type: ignore[union-attr]
    weight = weight if weight.shape[0] == 10 else weight.T
    logits = values.reshape(len(values), -1) @ weight.T + bias
    noise = Noise()
    noise.add(logits, bench.floats["logits"])
    assert effects["gap"].noise == pytest.approx(noise.ratio, rel=1e-3)
    last = {error.layer: error.noise for error in layer_errors(bench)}["dense"]
    assert effects["dense"].noise == pytest.approx(last)
    assert effects["dense"].agreement == 1.0


def test_progress_is_told(bench: Bench) -> None:
    told: list[tuple[int, int]] = []
    list(sensitivities(bench, lambda done, total: told.append((done, total))))
    assert told == [(i + 1, 8) for i in range(8)]
