from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quaint.errors import QuaintError
from quaint.samples import Samples, TensorSpec, open_samples

if TYPE_CHECKING:
    from collections.abc import Iterator

F32 = np.dtype(np.float32)
X, Y = TensorSpec("x", (None, 3), F32), TensorSpec("y", (None, 2), F32)
WHOLE = np.arange(21, dtype=np.float32).reshape(7, 3)


def made() -> Iterator[np.ndarray]:
    yield WHOLE[:1]
    yield WHOLE[1:6]
    yield WHOLE[6]


def whole(samples: Samples, rows: int = 2) -> np.ndarray:
    return np.concatenate([batch["x"] for batch in samples.batches(rows)])


def refused(source: Any, *inputs: TensorSpec) -> QuaintError:
    with pytest.raises(QuaintError) as caught:
        open_samples(source, inputs or [X])
    return caught.value


@pytest.mark.parametrize("source", [made, list(made()), [{"x": batch} for batch in made()], WHOLE.tolist()])
def test_batches_of_any_size(source: Any) -> None:
    samples = open_samples(source, [X])
    assert len(samples) == 7
    for rows in (1, 2, 7, 9):
        np.testing.assert_array_equal(whole(samples, rows), WHOLE)


def test_several_inputs() -> None:
    samples = open_samples(lambda: ({"x": WHOLE[i], "y": WHOLE[i : i + 1, :2]} for i in range(7)), [X, Y])
    batches = list(samples.batches(4))
    np.testing.assert_array_equal(batches[1]["y"], WHOLE[4:, :2])


def test_a_generator_can_be_read_only_once() -> None:
    error = refused(made())
    assert error.code == "QC201"
    assert "function" in str(error)
    once = made()
    samples = open_samples(lambda: once, [X])
    with pytest.raises(QuaintError, match="7 samples in the first pass, 0 in a later one") as caught:
        whole(samples)
    assert caught.value.code == "QC201"


@pytest.mark.parametrize("source", [[], list, lambda: iter(()), [np.zeros((0, 3))]])
def test_nothing(source: Any) -> None:
    assert refused(source).code == "QC201"


def test_the_users_exception_is_wrapped_and_kept() -> None:
    def raising() -> Iterator[np.ndarray]:
        yield WHOLE
        raise KeyError("path")

    error = refused(raising)
    assert error.code == "QC240"
    assert "KeyError: 'path', in batch 1" in str(error)
    assert isinstance(error.__cause__, KeyError)

    def broken() -> Any:
        raise OSError("no such share")

    assert "no such share" in str(refused(broken))


@pytest.mark.parametrize(
    ("batch", "code", "text"),
    [
        ((WHOLE, WHOLE), "QC240", "got tuple, in batch from sample 0, the model's inputs: 'x'"),
        ([[1, 2, 3], [1]], "QC240", "list is no array"),
        (WHOLE[:, :2], "QC210", "got [7, 2], expected [N, 3]"),
        ({"z": WHOLE, "x": WHOLE}, "QC212", "unknown z"),
        (np.array([[None] * 3]), "QC220", "Python objects"),
        ("text", "QC210", "got []"),
    ],
)
def test_wrong_batches(batch: Any, code: str, text: str) -> None:
    error = refused([batch])
    assert error.code == code
    assert text in str(error)


def test_wrong_batches_of_several_inputs() -> None:
    assert refused([(WHOLE, WHOLE[:, :2])], X, Y).code == "QC240"
    assert refused([{"x": WHOLE, "y": WHOLE[:3, :2]}], X, Y).code == "QC214"


def test_the_sample_of_a_late_batch_is_named() -> None:
    assert "batch from sample 7" in str(refused([WHOLE, WHOLE[:, :1]]))
