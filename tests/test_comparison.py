"""Comparing targets: against the same numbers computed here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import quaint
from quaint.errors import QuaintError
from quaint.floatmodel import FloatModel
from quaint.layers.patterns import STANDARD, MaxPool
from quaint.numerics import IntType

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from quaint.quantized import Quantized
    from quaint.target import Target

    Arrays = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def arrays(digits: Path) -> Arrays:
    with np.load(digits / "test.npz") as test, np.load(digits / "labels.npz") as labels:
        return {"x": test["input"], "labels": labels["labels"]}


def test_measures(demo: Target, quantized: Quantized, arrays: Arrays, digits: Path) -> None:
    coarse = replace(demo, name="coarse", activation=replace(demo.activation, dtype=IntType(4, signed=True)))
    found = quaint.compare(
        digits / "digits.onnx", [demo, coarse], arrays["x"], arrays["labels"], digits / "calibration.npz"
    )
    assert quantized.source is not None
    real = FloatModel(quantized.source).run({"input": arrays["x"]})["logits"]
    mine = quantized.run(arrays["x"])["logits"]
    assert found.float_accuracy == (real.argmax(1) == arrays["labels"]).mean()
    fine, rough = found.rows
    assert fine.accuracy == (mine.argmax(1) == arrays["labels"]).mean()
    assert fine.agreement == (mine.argmax(1) == real.argmax(1)).mean()
    assert fine.noise == pytest.approx(((mine - real) ** 2).sum() / (real**2).sum(), rel=1e-4)
    assert fine.file == "digits.demo8.onnx"
    assert fine.file_bytes == len(quantized.to_bytes())
    assert rough.noise is not None
    assert rough.noise > 10 * fine.noise  # type: ignore[operator]
    assert (found.samples, found.same_samples) == (450, False)


def test_the_model_is_not_changed_from_target_to_target(demo: Target, arrays: Arrays, digits: Path) -> None:
    again = replace(demo, name="again")
    config = quaint.Config(quantizer="equalize")
    one, other = quaint.compare(digits / "digits-residual.onnx", [demo, again], arrays["x"], config=config).rows
    assert (one.noise, one.agreement) == (other.noise, other.agreement)


def test_a_refusal_is_a_row(demo: Target, arrays: Arrays, digits: Path) -> None:
    strict = replace(demo, name="strict", patterns=tuple(p for p in STANDARD if p is not MaxPool))
    narrow = replace(demo, name="narrow", weight_bits=(8,))
    found = quaint.compare(
        digits / "digits.onnx", [strict, narrow, demo], arrays["x"][:40], config=quaint.Config(weight_bits=4)
    )
    assert [row.error and row.error.code for row in found.rows] == ["QT310", "QT340", None]
    assert found.rows[2].noise is not None
    data = found.to_dict()
    assert data["rows"][0]["error"]["details"] == ["pool1 (MaxPool): the chip has no layer for MaxPool here"]
    assert "quantized" not in data["rows"][2]


def test_without_samples_random_ones_serve(demo: Target, digits: Path) -> None:
    found = quaint.compare(digits / "digits.onnx", [demo], config=quaint.Config(num_samples=40))
    assert found.samples == 40
    assert found.rows[0].warnings[0].startswith("no samples were given")


@pytest.mark.parametrize(
    ("labels", "code"),
    [(np.zeros(3, np.int64), "QC214"), (np.zeros(40), "QC215"), (np.zeros((40, 10), np.int64), "QC215")],
)
def test_labels_that_do_not_fit(demo: Target, arrays: Arrays, digits: Path, labels: NDArray[Any], code: str) -> None:
    with pytest.raises(QuaintError, match=code):
        quaint.compare(digits / "digits.onnx", [demo], arrays["x"][:40], labels)


def test_labels_need_classes(demo: Target) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2, 3, 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    x = np.random.default_rng(0).normal(size=(40, 2, 3, 3)).astype(np.float32)
    with pytest.raises(QuaintError, match=r"QC215.*output 'y'"):
        quaint.compare(model, [demo], x, np.zeros(40, np.int64))
    row = quaint.compare(model, [demo], x).rows[0]
    assert row.agreement is not None
    assert row.agreement > 0.9
