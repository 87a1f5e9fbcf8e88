"""The search for mixed precision, on the digits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import quaint
from quaint.errors import QuaintError
from quaint.mixed_precision import Budget, Trial, search
from quaint.numerics import IntType

if TYPE_CHECKING:
    from pathlib import Path

    from quaint.mixed_precision import Found
    from quaint.target import Target


@pytest.fixture(scope="module")
def mixed(demo: Target) -> Target:
    """The demo chip with 4 bits by default, and 8 if asked for."""
    int4 = IntType(4, signed=True)
    coarse = replace(demo.activation, dtype=int4)
    return replace(
        demo, activation=coarse, weight=replace(demo.weight, dtype=int4), activation_bits=(4, 8), weight_bits=(4, 8)
    )


@pytest.fixture(scope="module")
def found(mixed: Target, digits: Path) -> Found:
    return search(digits / "digits.onnx", mixed, digits / "calibration.npz", "layers=2")


def test_the_curve_falls_layer_by_layer(found: Found) -> None:
    assert [len(trial.layers) for trial in found.curve] == [0, 1, 2]
    noises = [trial.noise or 0 for trial in found.curve]
    assert noises[0] > noises[1] > noises[2]
    assert found.curve[1].layers == found.curve[2].layers[:1]
    assert (found.met, found.bits) == (True, 8)


def test_the_configuration_gives_the_same_model(found: Found, mixed: Target, digits: Path) -> None:
    again = quaint.quantize(digits / "digits.onnx", mixed, digits / "calibration.npz", found.config)
    x = np.load(digits / "test.npz")["input"]
    assert np.array_equal(again.run(x)["logits"], found.quantized.run(x)["logits"])
    assert found.config.to_dict()["layers"] == {name: {"bits": 8} for name in found.curve[-1].layers}


def test_it_ends_where_the_budget_is_met(found: Found, mixed: Target, digits: Path) -> None:
    noise = found.curve[1].noise
    enough = search(digits / "digits.onnx", mixed, digits / "calibration.npz", f"nsr={noise}")
    assert enough.met
    assert enough.curve[-1] == found.curve[1]
    nothing = search(digits / "digits.onnx", mixed, digits / "calibration.npz", ["agreement=0", "layers=3"])
    assert nothing.met
    assert nothing.curve[-1].layers == ()


def test_a_budget_that_cannot_be_met(mixed: Target, digits: Path) -> None:
    found = search(digits / "digits.onnx", mixed, digits / "calibration.npz", Budget(nsr=1e-9, layers=1))
    assert not found.met
    assert len(found.curve) == 2


def test_layers_with_a_wish_are_left_alone(found: Found, mixed: Target, digits: Path) -> None:
    first = found.curve[1].layers[0]
    config = quaint.Config(layers={first: {"bits": 4}})
    other = search(digits / "digits.onnx", mixed, digits / "calibration.npz", "layers=1", config)
    assert other.curve[1].layers[0] != first
    assert other.config.layers[first] == {"bits": 4}


def test_a_chip_of_one_width(demo: Target, digits: Path) -> None:
    with pytest.raises(QuaintError, match=r"QT340.*no more than 8 bits"):
        search(digits / "digits.onnx", demo, digits / "calibration.npz")


def test_budgets() -> None:
    budget = Budget.parse(["nsr=0.05", "layers=3"])
    assert budget == Budget(nsr=0.05, layers=3)
    assert budget.met(Trial((), 0.05, None))
    assert not budget.met(Trial((), 0.06, 1.0))
    assert not budget.met(Trial((), None, 1.0))
    assert not Budget(agreement=0.9).met(Trial((), 0.0, None))
    for wrong in ("nsr", "nsr=x", "bits=3", "layers=1.5"):
        with pytest.raises(QuaintError, match="QU109"):
            Budget.parse([wrong])
