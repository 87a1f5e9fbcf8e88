"""A saved model beside the float model that it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto, helper

from quaint.config import Config
from quaint.errors import QuaintError
from quaint.pipeline import quantize
from quaint.report.layer_errors import Bench, layer_errors
from quaint.report.pairing import with_source
from quaint.saved import load_quantized

if TYPE_CHECKING:
    from pathlib import Path

    from quaint.target import Target


def test_a_loaded_model_gives_the_errors_of_the_one_that_was_saved(demo: Target, saved: Path, digits: Path) -> None:
    samples = digits / "calibration.npz"
    made = quantize(digits / "digits.onnx", demo, samples)
    loaded = with_source(load_quantized(saved), digits / "digits.onnx", samples)
    assert [*layer_errors(Bench(loaded, 8))] == [*layer_errors(Bench(made, 8))]


@pytest.mark.usefixtures("plugins")
def test_weights_that_the_quantizer_changed_are_changed_again(digits: Path, tmp_path: Path) -> None:
    samples = digits / "calibration.npz"
    made = quantize(digits / "digits.onnx", "demo8", samples, Config(quantizer="equalize"))
    made.save(str(tmp_path / "q.onnx"))
    loaded = with_source(load_quantized(tmp_path / "q.onnx"), digits / "digits.onnx", samples)
    assert [*layer_errors(Bench(loaded, 8))] == [*layer_errors(Bench(made, 8))]


def test_another_float_model(saved: Path) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1, 8, 8]) for name in ("input", "logits")]
    graph = helper.make_graph([helper.make_node("Relu", ["input"], ["logits"], "r")], "g", ends[:1], ends[1:])
    other = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    samples = np.zeros((32, 1, 8, 8), np.float32)
    with pytest.raises(QuaintError, match="QM108"):
        with_source(load_quantized(saved), other, samples)
