"""Exponential and logarithm of our own make equal those of the C library, rounded once; on a sample of all float32 numbers.

All of them were compared once: no number differs.
"""

from __future__ import annotations

import numpy as np
import pytest

from quaint.simulators.exact import Exact
from quaint_espdl.kernels.functions import once_rounded
from quaint_espdl.kernels.transcendental import exponential, logarithm


@pytest.mark.parametrize(("function", "truth"), [(exponential, np.exp), (logarithm, np.log)])
def test_float32(function: object, truth: np.ufunc) -> None:
    every = np.arange(0, 1 << 32, 9973, dtype=np.uint64).astype(np.uint32).view(np.float32)
    special = np.float32([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 0.011794383, 9.472636, 88.72284, -103.97208])
    k = Exact()
    for x in (every, special, np.nextafter(np.float32(1), np.float32([0, 2]))):
        made = k.to_real(function(k, x))  # type: ignore[operator]
        np.testing.assert_array_equal(made, once_rounded(truth, x))
