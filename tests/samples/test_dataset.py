from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaint.errors import QuaintError, QuaintWarning
from quaint.samples import TensorSpec, open_samples

if TYPE_CHECKING:
    from pathlib import Path

X = TensorSpec("x", (None, 3), np.dtype(np.float32))
VALUES = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


@given(st.integers(1, 50), st.integers(1, 60))
def test_every_sample_once_and_in_order(rows: int, first: int) -> None:
    samples = open_samples(VALUES, [X]).first(first)
    batches = [batch["x"] for batch in samples.batches(rows)]
    np.testing.assert_array_equal(np.concatenate(batches), VALUES[:first])
    assert len(samples) == min(first, 40)
    assert max(map(len, batches)) <= rows


def test_batch_size_is_positive() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        next(open_samples(VALUES, [X]).batches(0))


@pytest.mark.parametrize(
    ("value", "code", "dtype"),
    [(np.nan, "QC203", "float32"), (np.inf, "QC204", "float32"), (-np.inf, "QC204", "float32"), (1e300, "QC204", "float64")],
)  # fmt: skip
@pytest.mark.parametrize("rows", [1, 7, 40])
def test_a_value_that_is_no_number_is_located(value: float, code: str, dtype: str, rows: int) -> None:
    values = VALUES.astype(dtype)
    values[37, 2] = value
    with pytest.raises(QuaintError, match=r"sample 37, input 'x', index \[2\]") as caught:
        list(open_samples(values, [X]).batches(rows))
    assert caught.value.code == code


def test_the_digest_is_of_the_content_and_not_of_the_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VALUES)
    np.savez_compressed(tmp_path / "x.npz", anything=np.asfortranarray(VALUES))
    (tmp_path / "folder").mkdir()
    for index, sample in enumerate(VALUES):
        np.save(tmp_path / "folder" / f"{index:03}.npy", sample)
    sources = [VALUES, VALUES.astype(">f8"), {"x": VALUES}, [VALUES[:7], VALUES[7:]]]
    sources += [tmp_path / name for name in ("x.npy", "x.npz", "folder")]
    digests = {open_samples(source, [X]).digest() for source in sources}
    assert len(digests) == 1
    assert len(digests.pop()) == 64
    other = VALUES.copy()
    other[39, 2] += 1
    assert open_samples(other, [X]).digest() != open_samples(VALUES, [X]).digest()
    assert open_samples(VALUES[:39], [X]).digest() != open_samples(VALUES, [X]).digest()


def test_warnings_about_calibration() -> None:
    with pytest.warns(QuaintWarning, match="QC202: 8 samples"):
        open_samples(VALUES[:8], [X], calibration=True)
    with pytest.warns(QuaintWarning, match="QC206: every value of input 'x' is 0"):
        list(open_samples(np.zeros((40, 3)), [X], calibration=True).batches(16))
    with pytest.warns(QuaintWarning, match="QC207: the samples of input 'x' are bytes"):
        open_samples(np.zeros((40, 3), np.uint8), [X], calibration=True)
    list(open_samples(VALUES, [X], calibration=True).batches(16))
    list(open_samples(np.zeros((1, 3), np.uint8), [X]).batches(16))


def test_the_users_array_stays_as_it_is() -> None:
    values = VALUES.copy()
    list(open_samples(values, [X]).batches(3))
    np.testing.assert_array_equal(values, VALUES)
