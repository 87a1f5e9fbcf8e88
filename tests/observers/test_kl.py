from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quaint.errors import QuaintError
from quaint.numerics import IntType
from quaint.observers.kl import KL

Array = np.ndarray[Any, np.dtype[Any]]


def threshold(x: Array, **options: Any) -> float:
    observer = KL(**options)
    observer.observe(x.astype(np.float32))
    low, high = observer.range()
    return float(max(-low, high))


def best_by_loops(x: Array, levels: int) -> float:
    """The search spelt out: 64 bins a level up to the next power of two."""
    largest = np.abs(x).max()
    bound, bins = 2.0 ** (np.floor(np.log2(largest)) + 1), 64 * levels
    histogram = np.histogram(np.abs(x), bins, (0, bound))[0].astype(float)
    used = -(-(int(largest / bound * bins) + 1) // levels) * levels
    hidden = int(used * 0.002)
    histogram[:hidden], histogram[hidden] = 0, 1
    divergences = []
    for n in range(levels, used + 1, levels):
        true = list(histogram[:n])
        true[-1] += sum(histogram[n:])
        coarse = []
        for level in range(levels):
            group = histogram[level * n // levels : (level + 1) * n // levels]
            filled = [v for v in group if v > 0]
            coarse += [sum(filled) / len(filled) if v > 0 else 0 for v in group]
        p, q = np.array(true) / sum(true), np.array(coarse) / sum(coarse)
        divergences.append(np.sum(p * (np.log10(p + 1e-30) - np.log10(q + 1e-30))))
    return float(min((np.argmin(divergences) + 1) * levels * bound / bins, largest))


@pytest.mark.parametrize("name", ["int8", "int4"])
@pytest.mark.parametrize("seed", range(4))
def test_against_the_search_spelt_out(seed: int, name: str) -> None:
    rng, dtype = np.random.default_rng(seed), IntType.parse(name)
    x = rng.laplace(size=20_000) if seed % 2 else np.maximum(rng.normal(size=20_000), 0)
    x = x.astype(np.float32).astype(np.float64)
    assert threshold(x, dtype=dtype) == pytest.approx(best_by_loops(x, dtype.high + 1), rel=1e-6)


def test_outliers_are_clipped_and_a_uniform_is_not() -> None:
    rng = np.random.default_rng(0)
    heavy = np.append(rng.normal(size=100_000), [50.0])
    assert threshold(heavy) < 10
    uniform = rng.uniform(-1, 1, 100_000)
    assert threshold(uniform) > 0.9


def test_power_of_two() -> None:
    """The range is that of integers up to 127 at the nearest power-of-two scale."""
    x = np.random.default_rng(0).normal(size=100_000)
    scale = threshold(x, power_of_two=True) / 127
    assert np.log2(scale) == round(np.log2(threshold(x) / 128))


def test_the_range_keeps_the_sides_of_the_data() -> None:
    observer = KL()
    observer.observe(np.linspace(0.5, 4, 1000, dtype=np.float32))
    low, high = observer.range()
    assert low == 0.5
    assert 0 < high <= 4


def test_wide_integers_are_refused() -> None:
    with pytest.raises(QuaintError, match="int16"):
        KL(dtype=IntType(16, signed=True))
