from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from quaint.simulators.exact import Exact
from quaint_espdl.kernels import reductions as kernels

EXACTLY: dict[str, Any] = {"out_scale": None, "low": 0, "high": 0, "rounding": "half_even"}
K = Exact()
X = np.array([[3, -4, 12], [1, 2, -2]])


@pytest.mark.parametrize(
    ("function", "truth"),
    [
        ("ReduceL1", [9.5, 2.5]),
        ("ReduceL2", [6.5, 1.5]),
        ("ReduceSumSquare", [42.25, 2.25]),
        ("ReduceProd", [-18, -0.5]),
        ("ReduceLogSumExp", [math.log(math.exp(1.5) + math.exp(-2) + math.exp(6)), None]),
        ("ReduceSum", [5.5, 0.5]),
        ("ReduceMax", [6, 1]),
        ("ReduceMin", [-2, -1]),
    ],
)
def test_reductions(function: str, truth: list[float | None]) -> None:
    reals = function in kernels.REAL_REDUCTIONS
    x, scale = (np.float32(X / 2), 1.0) if reals else (X, 0.5)
    made = kernels.reduce(K, x, function=function, scale=scale, axes=[1], shape=[2], **EXACTLY)
    for value, expected in zip(made, truth, strict=True):
        assert expected is None or math.isclose(value, expected, rel_tol=1e-6)


def test_log_sum() -> None:
    made = kernels.reduce(K, np.array([[3, 5]]), function="ReduceLogSum", scale=0.5, axes=[1], shape=[1], **EXACTLY)
    np.testing.assert_allclose(made, [math.log(4)], rtol=1e-6)


def test_mean() -> None:
    made = kernels.mean(K, X, scale=0.5, axes=[1], shape=[2, 1], **EXACTLY)
    np.testing.assert_array_equal(made, np.float32([[5.5], [0.5]]) / np.float32(3))
