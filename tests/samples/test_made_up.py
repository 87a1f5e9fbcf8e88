from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from quaint.errors import QuaintError
from quaint.samples import TensorSpec, random_samples

F32 = np.dtype(np.float32)
IMAGE, LAST, FLAT = (TensorSpec(name, shape, F32) for name, shape in
                     (("image", (None, 3, 5, 7)), ("last", (None, 5, 7, 1)), ("flat", (None, 11))))  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "low", "high"),
    [(IMAGE, 0, 255), (LAST, 0, 255), (FLAT, -128, 127), (TensorSpec("x", (1, 16, 4, 4), F32), -128, 127)],
)
def test_range(spec: TensorSpec, low: int, high: int) -> None:
    (batch,) = random_samples([spec], count=500).batches(500)
    values = np.asarray(batch[spec.name], np.float64)
    assert batch[spec.name].dtype == np.float32
    assert (values.min(), values.max()) == (low, high)
    np.testing.assert_array_equal(values, np.round(values))
    assert abs(float(values.mean()) - (low + high) / 2) < 3


def test_the_same_for_a_seed_whatever_the_batch_size() -> None:
    samples = random_samples([IMAGE, FLAT], count=10, seed=3)
    assert samples.random
    assert len(samples) == 10
    for name in ("image", "flat"):
        whole = next(samples.batches(10))[name]
        parts = np.concatenate([batch[name] for batch in samples.batches(3)])
        np.testing.assert_array_equal(whole, parts)
    assert samples.digest() == random_samples([IMAGE, FLAT], count=10, seed=3).digest()
    assert samples.digest() != random_samples([IMAGE, FLAT], count=10, seed=4).digest()


def test_inputs_differ() -> None:
    twins = [TensorSpec(name, (None, 64), F32) for name in "ab"]
    batch = next(random_samples(twins, count=2).batches(2))
    assert not np.array_equal(batch["a"], batch["b"])
    assert not np.array_equal(batch["a"][0], batch["a"][1])


def test_the_values_never_change() -> None:
    batch = next(random_samples([FLAT], count=1).batches(1))
    assert batch["flat"][0, :4].tolist() == [95.0, -126.0, -62.0, -39.0]


def test_integer_inputs() -> None:
    batch = next(random_samples([TensorSpec("x", (None, 1000), np.dtype(np.int8))], count=1).batches(1))
    assert batch["x"].dtype == np.int8
    assert (batch["x"].min(), batch["x"].max()) == (-128, 127)


def test_memory_does_not_grow_with_the_number() -> None:
    samples = random_samples([TensorSpec("x", (None, 3, 64, 64), F32)], count=500)
    tracemalloc.start()
    assert sum(len(batch["x"]) for batch in samples.batches(4)) == 500
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_refusals() -> None:
    with pytest.raises(QuaintError, match="QC201"):
        random_samples([FLAT], count=0)
    with pytest.raises(QuaintError, match="QC210"):
        random_samples([TensorSpec("x", (None, None, 3), F32)])
