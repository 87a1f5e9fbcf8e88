from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quaint.numerics import Rounding
from quaint.simulators.exact import Exact
from quaint_espdl.kernels import KERNELS
from quaint_espdl.kernels import integers as kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

EXACT = Exact()
INT8 = {"low": -128, "high": 127}
property_test = settings(max_examples=50, derandomize=True, deadline=None, database=None)
seeds = st.integers(0, 1 << 20)


def integers(seed: int, *shape: int, bits: int = 8) -> Ints:
    return np.random.default_rng(seed).integers(-(1 << (bits - 1)), 1 << (bits - 1), shape)


@property_test
@given(seeds)
def test_maps_are_channel_last(seed: int) -> None:
    x, weight = integers(seed, 1, 4, 5, 3), integers(seed + 1, 7, 3, 1, 1)
    window = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    made = KERNELS["Conv"](EXACT, x, weight=weight, bias=np.arange(7), shift=np.arange(7), **window, **INT8)
    sums = np.einsum("nhwc,mc->nhwm", x, weight[..., 0, 0]) + np.arange(7)
    np.testing.assert_array_equal(made, np.clip(np.rint(sums / 2.0 ** np.arange(7)), -128, 127))


@property_test
@given(seeds, st.sampled_from([((5,), (5,)), ((3, 5), (5,)), ((2, 3, 5), (5, 4)), ((2, 3, 5), (2, 5, 4))]))
def test_matmul(seed: int, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    x, y = integers(seed, *shapes[0]), integers(seed + 1, *shapes[1])
    truth = np.clip(np.floor((x @ y) / 8 + 0.5), -128, 127)
    options = {"shape": list(truth.shape) or [1], "shift": 3, "rounding": "half_up", **INT8}
    made = kernels.matmul(EXACT, x, y, **options)
    np.testing.assert_array_equal(made, truth.reshape(options["shape"]))


@pytest.mark.parametrize(
    ("relation", "operation"),
    [
        ("greater", np.greater),
        ("greater_or_equal", np.greater_equal),
        ("less", np.less),
        ("less_or_equal", np.less_equal),
        ("equal", np.equal),
    ],
)
def test_compare(relation: str, operation: np.ufunc) -> None:
    x, y = np.arange(-3, 4), np.zeros(1, np.int64)
    np.testing.assert_array_equal(kernels.compare(EXACT, x, y, relation=relation), operation(x, y))
    np.testing.assert_array_equal(kernels.compare(EXACT, x, constant=y, relation=relation), operation(x, y))


@property_test
@given(seeds, st.booleans())
def test_extremes(seed: int, largest: bool) -> None:
    x, y = integers(seed, 2, 3), integers(seed + 1, 3)
    truth = np.maximum(x, y) if largest else np.minimum(x, y)
    np.testing.assert_array_equal(kernels.extreme(EXACT, x, y, largest=largest, **INT8), truth)
    np.testing.assert_array_equal(kernels.extreme(EXACT, x, constant=y, largest=largest, **INT8), truth)
    truth = (x.max if largest else x.min)(0, keepdims=True)
    np.testing.assert_array_equal(kernels.reduce_max(EXACT, x, axes=[0], shape=[1, 3], largest=largest), truth)


@property_test
@given(seeds, st.integers(1, 50), st.integers(0, 3), st.sampled_from([Rounding.HALF_EVEN, Rounding.HALF_UP]))
def test_means(seed: int, divisor: int, left: int, rounding: Rounding) -> None:
    x = integers(seed, 2, 9)
    made = kernels.reduce_sum(
        EXACT, x, axes=[1], shape=[2], divisor=divisor, left=left, shift=0, rounding=str(rounding), **INT8
    )
    quotient = (x.sum(1) << left) / divisor  # a tie is a small multiple of 1/2, which float64 holds
    np.testing.assert_array_equal(made, np.clip(rounding.round(quotient), -128, 127))


@pytest.mark.parametrize(("rounding", "place"), [("half_even", 1024), ("half_up", 1025)])
def test_the_nearest_entry_of_a_table(rounding: str, place: int) -> None:
    table = np.arange(2049)
    made = kernels.wide_lookup(EXACT, np.array([-32768, 15, 16, 17, 32767]), table=table, bits=5, rounding=rounding)
    np.testing.assert_array_equal(made, [0, 1024, place, 1025, 2048])


def test_zeros_between_pixels() -> None:
    x = np.arange(1, 5).reshape(1, 2, 2, 1)
    made = kernels.insert_zeros(EXACT, x, indices=[[0, 2, 1], [0, 2, 1, 2]])
    np.testing.assert_array_equal(made[0, ..., 0], [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0]])


def test_movements_take_floats_too() -> None:
    x = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    made = KERNELS["FloatSplit"](EXACT, x, axis=1, sizes=[1, 2])
    assert [part.dtype for part in made] == [np.float32, np.float32]
    np.testing.assert_array_equal(np.concatenate(made, 1), x)
