"""Kernels that move integers against NumPy, and traced against untraced."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layer_models import INT8, layer_model
from quaint.layers.kernels import KERNELS
from quaint.simulators.onnxruntime import OnnxRuntime
from quaint.simulators.reference import Reference

X = np.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6).astype(np.int8)


def run(op: str, after: tuple[int | None, ...], constants: Any = None, **attributes: Any) -> np.ndarray:
    """One layer on ``X``: the same from both simulators."""
    model = layer_model(op, [(INT8, (None, 3, 4, 6))], INT8, after, constants or {}, attributes)
    one, other = (kind(model, KERNELS).run({"x0": X})["y"] for kind in (Reference, OnnxRuntime))
    np.testing.assert_array_equal(one, other)
    return one


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_take(rows: list[int], columns: list[int]) -> None:
    shape = (None, 3, len(rows), len(columns))
    made = run("take", shape, axes=[2, 3], indices=[rows, columns])
    np.testing.assert_array_equal(made, X[:, :, rows][..., columns])


def test_take_and_reshape() -> None:
    made = run("take", (None, 3, 6), axes=[2], indices=[[1]], shape=[0, 3, 6])
    np.testing.assert_array_equal(made, X[:, :, 1])


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
def test_pad(mode: str) -> None:
    options: dict[str, Any] = {"constant_values": -7} if mode == "constant" else {}
    truth = np.pad(X, [(0, 0), (0, 0), (3, 1), (2, 0)], mode, **options)
    made = run("pad", (None, 3, 8, 8), pads=[0, 0, 3, 2, 0, 0, 1, 0], value=-7, mode=mode)
    np.testing.assert_array_equal(made, truth)


def test_concat_puts_constants_in_their_places() -> None:
    first, last = np.full((1, 3, 1, 6), 9, np.int8), np.arange(36).reshape(1, 3, 2, 6).astype(np.int8)
    made = run("concat", (None, 3, 7, 6), {"operand0": first, "operand2": last}, axis=2)
    truth = np.concatenate([np.broadcast_to(first, (2, 3, 1, 6)), X, np.broadcast_to(last, (2, 3, 2, 6))], 2)
    np.testing.assert_array_equal(made, truth)


def test_rearrange() -> None:
    made = run("rearrange", (None, 12, 2, 3), split=[0, 3, 2, 2, 3, 2], perm=[0, 1, 3, 5, 2, 4], shape=[0, 12, 2, 3])
    for row, column in np.ndindex(2, 2):
        np.testing.assert_array_equal(made[:, 2 * row + column :: 4], X[:, :, row::2, column::2])
