from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quaint.numerics import IntType
from quaint.observers.mse import MSE

Array = np.ndarray[Any, np.dtype[Any]]


def threshold(x: Array, **options: Any) -> float:
    observer = MSE(**options)
    observer.observe(x.astype(np.float32))
    low, high = observer.range()
    return float(max(-low, high))


def true_error(x: Array, scale: float, top: int) -> float:
    return float(np.square(np.clip(np.rint(x / scale), -top, top) * scale - x).mean())


@pytest.mark.parametrize("name", ["int2", "int4", "int8", "uint4"])
@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("shape", ["normal", "laplace", "uniform"])
def test_no_other_threshold_is_better(name: str, power_of_two: bool, shape: str) -> None:
    """Up to the width of a bin, and to the spacing of the thresholds."""
    dtype = IntType.parse(name)
    x = getattr(np.random.default_rng(0), shape)(size=20_000).astype(np.float32)
    x = x if dtype.signed else np.abs(x)
    found = true_error(x, threshold(x, dtype=dtype, power_of_two=power_of_two) / dtype.high, dtype.high)
    scales = 2.0 ** np.arange(-12, 4) if power_of_two else np.abs(x).max() / dtype.high * np.linspace(0.02, 1, 300)
    best = min(true_error(x, scale, dtype.high) for scale in scales)
    assert found <= best * (1.0001 if power_of_two else 1.01)


def test_power_of_two_scale_survives_both_roundings() -> None:
    """Whoever derives a scale from the range, rounding up or to the nearest, comes back to the one that was found."""
    x = np.random.default_rng(0).normal(size=20_000)
    top = threshold(x, power_of_two=True)
    scale = top / 127
    assert np.log2(scale) % 1 == 0
    assert 2.0 ** np.ceil(np.log2(2 * top / 255)) == 2.0 ** np.rint(np.log2(2 * top / 255)) == scale


def test_steps_finer_than_the_bins() -> None:
    """With 16 bits, hardly anything is worth clipping."""
    x = np.random.default_rng(0).uniform(-1, 1, 20_000)
    assert threshold(x, dtype=IntType(16, signed=True)) > 0.98
    assert threshold(x, dtype=IntType(16, signed=True), power_of_two=True) == 32767 * 2.0**-15


def test_outliers_are_clipped() -> None:
    x = np.append(np.random.default_rng(0).normal(size=100_000), [60.0])
    assert threshold(x) < 50
