"""Which values of a tensor are counted: enough of every sample, and none twice."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaint.needs import CHANNEL_ENOUGH, CHANNEL_LEAST, CHANNEL_MOST, ENOUGH, LEAST, MOST, Thinning

sizes_of = st.lists(st.integers(1, 70), min_size=1, max_size=3)
counts = st.sampled_from([0, 1, 16, 64, 256, 1024, 1 << 20])


@given(sizes_of, st.booleans(), counts)
def test_enough_of_every_sample(sizes: list[int], by_channel: bool, samples: int) -> None:
    values = np.arange(np.prod(sizes)).reshape(1, *sizes)
    part = Thinning.of(sizes, by_channel=by_channel, samples=samples).apply(values, by_channel=by_channel)
    limits = (CHANNEL_ENOUGH, CHANNEL_LEAST, CHANNEL_MOST) if by_channel else (ENOUGH, LEAST, MOST)
    rest, (total, least, most) = sizes[1:] if by_channel else sizes, limits
    wanted = min(max(total // max(samples, 1), least), most)
    assert min(np.prod(rest, dtype=int), wanted) / 4 <= part.shape[-1] <= 4 * wanted
    assert len(np.unique(part)) == part.size
    if by_channel:
        assert part.shape[:2] == (1, sizes[0])


@pytest.mark.parametrize(
    ("sizes", "samples", "image", "stride"),
    [((16, 100, 100), 64, 1, 19), ((16, 100, 100), 128, 6, 1), ((16, 100, 100), 1024, 8, 1), ((3, 20, 20), 128, 1, 1)],
)
def test_the_more_samples_the_less_of_each(sizes: tuple[int, ...], samples: int, image: int, stride: int) -> None:
    assert Thinning.of(sizes, by_channel=False, samples=samples) == Thinning(image, stride)


def test_every_nth_value_meets_every_column() -> None:
    """A stride that divides the width would see few columns alone."""
    sizes = (64, 24, 512)
    thinning = Thinning.of(sizes, by_channel=False, samples=64)
    assert thinning.stride > 1
    assert math.gcd(thinning.stride, math.prod(sizes)) == 1
    part = thinning.apply(np.arange(math.prod(sizes)).reshape(1, *sizes), by_channel=False)
    columns = {int(value) % 512 for value in part[0]}
    assert len(columns) == -(-512 // thinning.image)
