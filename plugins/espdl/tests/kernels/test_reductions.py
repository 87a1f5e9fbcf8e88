from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from quaint_espdl.kernels import reductions as kernels

EXACTLY: dict[str, Any] = {"out_scale": None, "low": 0, "high": 0, "rounding": "half_even"}
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
    made = kernels.reduce(x, function=function, scale=scale, axes=[1], shape=[2], **EXACTLY)
    for value, expected in zip(made, truth, strict=True):
        assert expected is None or math.isclose(value, expected, rel_tol=1e-6)


def test_log_sum() -> None:
    made = kernels.reduce(np.array([[3, 5]]), function="ReduceLogSum", scale=0.5, axes=[1], shape=[1], **EXACTLY)
    np.testing.assert_allclose(made, [math.log(4)], rtol=1e-6)


def test_mean() -> None:
    made = kernels.mean(X, scale=0.5, axes=[1], shape=[2, 1], **EXACTLY)
    np.testing.assert_array_equal(made, np.float32([[5.5], [0.5]]) / np.float32(3))


def test_norms() -> None:
    x = X / 2
    weight, bias = np.float32([1, 2, 3]), np.float32([0, 1, 0])
    made = kernels.layer_norm(X, scale=0.5, axis=-1, epsilon=1e-5, weight=weight, bias=bias, **EXACTLY)
    truth = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * weight + bias
    np.testing.assert_allclose(made, truth, rtol=1e-5, atol=1e-6)
    made = kernels.rms_norm(X, scale=0.5, axis=-1, epsilon=1e-5, weight=weight, **EXACTLY)
    np.testing.assert_allclose(made, x / np.sqrt(np.square(x).mean(1, keepdims=True) + 1e-5) * weight, rtol=1e-5)


@pytest.mark.parametrize("p", [1, 2])
def test_lp_norm(p: int) -> None:
    made = kernels.lp_norm(np.vstack([X, [0, 0, 0]]), scale=0.5, axis=1, p=p, **EXACTLY)
    truth = X / np.linalg.norm(X, p, axis=1, keepdims=True)
    np.testing.assert_allclose(made, np.vstack([truth, np.zeros(3)]), rtol=1e-6)
