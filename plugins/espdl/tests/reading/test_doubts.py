"""Warnings about what the runtime does with a file that its exporter hardly meant."""

from __future__ import annotations

import numpy as np
from espdl_files import constant, file, variable

from quaint_espdl.reading.doubts import doubts


def test_a_sum_of_integers_of_two_scales() -> None:
    edges = [variable("x", (3,), -4), variable("z", (3,), -6)]
    (warning,) = doubts(file("Add", edges, [variable("y", (3,), -4)]).graph)
    assert "node (Add: 2**-6, 2**-4)" in warning


def test_nothing_where_scales_are_equal_or_do_not_matter() -> None:
    x, y = variable("x", (3,), -4), variable("y", (3,), -5)
    shape = constant("shape", np.array([3, 1]))
    assert not [*doubts(file("Reshape", [x, shape], [variable("y", (3, 1), -4)]).graph)]
    assert not [*doubts(file("Mul", [x, x], [y]).graph)]
    assert not [*doubts(file("RequantizeLinear", [x], [y]).graph)]
