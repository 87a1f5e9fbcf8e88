from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaint.errors import QuaintError
from quaint.samples.columns import ArrayColumn, Batch, ChainedColumn, ColumnSource, FirstSamples, rebatch, rows_of
from quaint.samples.spec import TensorSpec

X, Y = (TensorSpec(name, (None, 2), np.dtype(np.float32)) for name in "xy")


@given(st.lists(st.integers(1, 7)), st.integers(1, 5))
def test_rebatch_keeps_samples_and_order(sizes: list[int], rows: int) -> None:
    whole = np.arange(sum(sizes))
    pieces: list[Batch] = [{"x": part, "y": -part} for part in np.split(whole, np.cumsum(sizes)[:-1])] if sizes else []
    batches = list(rebatch(pieces, rows))
    assert all(rows_of(batch) == rows for batch in batches[:-1])
    assert all(1 <= rows_of(batch) <= rows for batch in batches)
    if sizes:
        np.testing.assert_array_equal(np.concatenate([batch["x"] for batch in batches]), whole)
        np.testing.assert_array_equal(np.concatenate([batch["y"] for batch in batches]), -whole)


def test_inputs_must_have_as_many_samples() -> None:
    columns = {"x": ArrayColumn(np.zeros((3, 2)), "x.npy"), "y": ArrayColumn(np.zeros((4, 2)), "y.npy")}
    with pytest.raises(QuaintError, match="x 3, y 4") as caught:
        ColumnSource(columns, [X, Y], None)
    assert caught.value.code == "QC214"


def test_columns_side_by_side() -> None:
    x, y = np.arange(10.0).reshape(5, 2), np.arange(10, 20).reshape(5, 2)
    chained = ChainedColumn([ArrayColumn(x[:1], "a"), ArrayColumn(x[1:], "b")], "folder")
    source = ColumnSource({"y": ArrayColumn(y, "y"), "x": chained}, [X, Y], None)
    assert source.count == 5
    batches = list(source.pieces(2))
    assert [rows_of(batch) for batch in batches] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([batch["x"] for batch in batches]), x)
    np.testing.assert_array_equal(np.concatenate([batch["y"] for batch in batches]), y)


def test_chained_columns_agree_in_shape() -> None:
    with pytest.raises(QuaintError, match=r"\[3\], and \[2\] before, in b"):
        ChainedColumn([ArrayColumn(np.zeros((1, 2)), "a"), ArrayColumn(np.zeros((1, 3)), "b")], "folder")


def test_first_samples() -> None:
    source = ColumnSource({"x": ArrayColumn(np.arange(10.0).reshape(5, 2), "x")}, [X], None)
    pieces = list(FirstSamples(source, 3).pieces(2))
    np.testing.assert_array_equal(np.concatenate([piece["x"] for piece in pieces]), [[0, 1], [2, 3], [4, 5]])
