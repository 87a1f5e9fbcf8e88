from __future__ import annotations

import numpy as np
import pytest

from quaint.errors import QuaintError
from quaint.samples.naming import match_names
from quaint.samples.spec import TensorSpec

X, Y, LABELS = (TensorSpec(name, (None, 2), np.dtype(np.float32)) for name in ("x", "y", "labels"))


@pytest.mark.parametrize(
    ("keys", "inputs", "expected"),
    [
        (["x"], [X], {"x": "x"}),
        (["arr_0"], [X], {"x": "arr_0"}),
        (["arr_0", "labels"], [X], {"x": "arr_0"}),
        (["y", "x"], [X, Y], {"x": "x", "y": "y"}),
        (["labels", "x"], [X, LABELS], {"x": "x", "labels": "labels"}),
    ],
)
def test_match(keys: list[str], inputs: list[TensorSpec], expected: dict[str, str]) -> None:
    assert match_names(keys, inputs, "f.npz") == expected


@pytest.mark.parametrize(
    ("keys", "inputs", "code", "text"),
    [
        (["x", "z"], [X], "QC212", "unknown z"),
        (["x"], [X, Y], "QC212", "missing y"),
        (["a", "b"], [X, Y], "QC212", "missing x, y; unknown a, b, in f.npz, the model's inputs: x, y; found: a, b"),
        ([], [X], "QC201", "no array"),
        (["labels"], [X], "QC201", "no array"),
    ],
)
def test_refusals(keys: list[str], inputs: list[TensorSpec], code: str, text: str) -> None:
    with pytest.raises(QuaintError) as caught:
        match_names(keys, inputs, "f.npz")
    assert caught.value.code == code
    assert text in str(caught.value)
