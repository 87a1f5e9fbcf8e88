"""Measures: by hand on small arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaint.numerics import IntType, QuantParams
from quaint.report.metrics import Noise, Share, saturated, top1


@given(st.integers(1, 20), st.integers(0, 19), st.integers(0, 2**32 - 1))
def test_noise_does_not_depend_on_the_batches(count: int, cut: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    real, mine = rng.normal(size=(2, count, 3))
    noise = Noise()
    noise.add(mine[:cut], real[:cut])
    noise.add(mine[cut:], real[cut:])
    assert noise.ratio == pytest.approx(((mine - real) ** 2).sum() / (real**2).sum())


def test_noise_of_zeros() -> None:
    noise = Noise()
    noise.add(np.zeros(3), np.zeros(3))
    assert noise.ratio == 0
    noise.add(np.ones(3), np.zeros(3))
    assert noise.ratio is None


def test_share() -> None:
    share = Share()
    assert share.ratio is None
    share.add(np.array([True, False]))
    share.add(np.array([True, True]))
    assert share.ratio == 0.75


@pytest.mark.parametrize(
    ("dtype", "zero_point", "values", "expected"),
    [
        ("int8", 0, [-128, -127, 0, 126, 127], [True, False, False, False, True]),
        ("uint8", 0, [0, 1, 255], [False, False, True]),
        ("uint8", 7, [0, 1, 255], [True, False, True]),
        ("int4", -8, [-8, 7], [False, True]),
    ],
)
def test_saturated(dtype: str, zero_point: int, values: list[int], expected: list[bool]) -> None:
    params = QuantParams(np.asarray(0.5), IntType.parse(dtype), np.asarray(zero_point))
    assert saturated(np.array(values), params).tolist() == expected


def test_truth_values_are_not_clipped() -> None:
    assert not saturated(np.array([0, 1]), QuantParams(np.ones(()), IntType(1, signed=False))).any()


def test_saturated_for_each_channel() -> None:
    params = QuantParams(np.array([1.0, 1.0]), IntType.parse("uint8"), np.array([0, 3]), axis=1)
    assert saturated(np.zeros((1, 2, 2), np.uint8), params).tolist() == [[[False, False], [True, True]]]


def test_top1() -> None:
    scores = np.array([[1, 3, 2], [9, 0, 0]])
    assert top1(scores).tolist() == [1, 0]  # type: ignore[union-attr]
    assert top1(scores[:, :, np.newaxis]).tolist() == [[1], [0]]  # type: ignore[union-attr]
    assert top1(np.zeros((4, 1))) is None
    assert top1(np.zeros(4)) is None
