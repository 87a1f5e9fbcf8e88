"""Nodes that move numbers, with what published files seldom have: constants among the operands, sizes that are wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from espdl_files import constant, file, run, variable

from quaint.errors import QuaintError
from quaint_espdl.reading.chips import by_name
from quaint_espdl.reading.reader import integer_model

RANDOM = np.random.default_rng(0)
X = RANDOM.integers(-128, 128, (2, 3, 4), np.int8)
C = RANDOM.integers(-128, 128, (2, 3, 4), np.int8)
SOURCE = variable("x", X.shape)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_constants_joined(axis: int) -> None:
    whole = np.concatenate([C, X, C, C, X], axis)
    edges: list[Any] = [constant("c", C), SOURCE, constant("d", C), constant("e", C), variable("z", X.shape)]
    np.testing.assert_array_equal(run(file("Concat", edges, [variable("y", whole.shape)], axis=axis), X, X), whole)


def test_updates_of_a_constant_and_by_one() -> None:
    places = np.array([[1, 2], [0, 0]])
    rows = RANDOM.integers(-128, 128, (2, 4), np.int8)
    into, by, where = variable("y", X.shape), variable("x", rows.shape), constant("i", places)
    for edges, given, base, updates in (
        ([constant("c", C), where, by], rows, C, rows),
        ([SOURCE, where, constant("r", rows)], X, X, rows),
    ):
        expected = base.copy()
        expected[tuple(places.T)] = updates
        np.testing.assert_array_equal(run(file("ScatterND", edges, [into]), given), expected)


def test_nothing_but_constants_is_refused() -> None:
    model = file("Concat", [constant("c", C), constant("d", C)], [variable("y", (4, 3, 4))], axis=0)
    with pytest.raises(QuaintError, match="QT310") as caught:
        integer_model(model, by_name("esp32p4"), "net")
    assert "nothing but constants" in caught.value.details[0]


def test_sizes_after_a_gather_are_worked_out() -> None:
    edges: list[Any] = [SOURCE, constant("i", np.array([-1, 0]))]
    model = file("Gather", edges, [variable("y", X.shape)], axis=-1)  # the file says as many as before
    np.testing.assert_array_equal(run(model, X), X[..., [-1, 0]])
    assert integer_model(model, by_name("esp32p4"), "net").shapes["y"] == (2, 3, 2)


def test_borders_taken_away_are_refused() -> None:
    edges: list[Any] = [SOURCE, constant("p", np.array([0, 0, -1, 0, 0, 0]))]
    with pytest.raises(QuaintError, match="QT310") as caught:
        integer_model(file("Pad", edges, [variable("y", (2, 3, 3))]), by_name("esp32p4"), "net")
    assert "negative borders" in caught.value.details[0]
