from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quaint.simulators.exact import Exact
from quaint_espdl.kernels import norms as kernels

EXACTLY: dict[str, Any] = {"out_scale": None, "low": 0, "high": 0, "rounding": "half_even"}
K = Exact()
X = np.array([[3, -4, 12], [1, 2, -2]])


def test_norms() -> None:
    x = X / 2
    weight, bias = np.float32([1, 2, 3]), np.float32([0, 1, 0])
    made = kernels.layer_norm(K, X, scale=0.5, axis=-1, epsilon=1e-5, weight=weight, bias=bias, **EXACTLY)
    truth = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5) * weight + bias
    np.testing.assert_allclose(made, truth, rtol=1e-5, atol=1e-6)
    made = kernels.rms_norm(K, X, scale=0.5, axis=-1, epsilon=1e-5, weight=weight, **EXACTLY)
    np.testing.assert_allclose(made, x / np.sqrt(np.square(x).mean(1, keepdims=True) + 1e-5) * weight, rtol=1e-5)


@pytest.mark.parametrize("p", [1, 2])
def test_lp_norm(p: int) -> None:
    made = kernels.lp_norm(K, np.vstack([X, [0, 0, 0]]), scale=0.5, axis=1, p=p, **EXACTLY)
    truth = X / np.linalg.norm(X, p, axis=1, keepdims=True)
    np.testing.assert_allclose(made, np.vstack([truth, np.zeros(3)]), rtol=1e-6)


def test_sums_run_in_order() -> None:
    """The mean of 2**24 and ones: the ones are lost, one by one."""
    x = np.array([[1 << 24] + [1] * 63])
    made = kernels.layer_norm(K, x, scale=1.0, axis=-1, epsilon=0.0, **EXACTLY)
    mean = np.float32(2.0**24) / np.float32(64)
    centred = x.astype(np.float32) - mean
    variance = np.add.accumulate(centred * centred, 1)[:, -1:] / np.float32(64)
    np.testing.assert_array_equal(made, centred / np.sqrt(variance))


@pytest.mark.parametrize("p", [1, 2])
def test_reals_are_added_one_after_another(p: int) -> None:
    x = np.float32([[2.0**24] + [1.0] * 63])
    norm = np.float32(2.0**24) if p == 1 else np.sqrt(np.float32(2.0**48))
    np.testing.assert_array_equal(kernels.lp_norm(K, x, scale=1.0, axis=1, p=p, **EXACTLY), x * (np.float32(1) / norm))
