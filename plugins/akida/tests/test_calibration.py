"""Ranges as QuantizeML defines them: a moving maximum over batches, in order, epochs one after another; random samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from akida_nets import SAME, channel_last, dense, entrance, run_float
from onnx import TensorProto

from quaint import pipeline
from quaint.config import Config
from quaint.testing.builder import Builder

COUNT = 40


def net() -> tuple[Any, Any, str]:
    """A model, its part up to a tensor between two layers, and that tensor."""
    made = Builder("calibrated")
    inner = entrance(made)
    part = made.build(inner)
    x = made.op("Relu", made.conv(inner, (8, 8), pads=SAME))
    return made.build(dense(made, made.op("GlobalAveragePool", x), 8)), part, inner


def growing() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Samples that become larger, so that order and batches matter."""
    random = np.random.default_rng(0)
    size = np.linspace(0.2, 3, COUNT).reshape(-1, 1, 1, 1)
    return (random.uniform(-1, 1, (COUNT, 3, 12, 12)) * size).astype(np.float32)


def moving(batches: list[np.ndarray[Any, Any]], axes: tuple[int, ...] | None) -> np.ndarray[Any, Any]:
    """The first batch's maximum, then 0.9 of what was and 0.1 of each other batch's."""
    seen = np.asarray(batches[0].max(axis=axes), np.float64)
    for batch in batches[1:]:
        seen = seen - (seen - batch.max(axis=axes)) * 0.1
    return seen


@pytest.mark.parametrize("per_tensor", [False, True])
@pytest.mark.parametrize(
    ("wishes", "batches"),
    [
        ({"batch_size": 8}, [range(start, start + 8) for start in range(0, COUNT, 8)]),
        ({"batch_size": 16}, [range(16), range(16, 32), range(32, COUNT)]),
        ({"batch_size": 20, "epochs": 2}, [range(20), range(20, 40)] * 2),
        ({"batch_size": 8, "num_samples": 32}, [range(start, start + 8) for start in range(0, 32, 8)]),
    ],
)
def test_a_moving_maximum(wishes: dict[str, int], batches: list[range], *, per_tensor: bool) -> None:
    model, part, inner = net()
    config = Config(observer="moving-max", quantizer="ranges", per_tensor_activations=per_tensor, **wishes)
    made = pipeline.quantize(model, "akida2", growing(), config)
    floats = run_float(part, growing())
    seen = moving([floats[list(batch)] for batch in batches], None if per_tensor else (0, 2, 3))
    np.testing.assert_allclose(made.integer.tensors[inner].scale * 127, seen, rtol=1e-5)


@pytest.mark.parametrize(
    ("channels", "dtype", "low", "high"), [(3, TensorProto.UINT8, 0, 255), (4, TensorProto.INT8, -128, 127)]
)
def test_random_samples(channels: int, dtype: int, low: int, high: int) -> None:
    """Where none are given: 1024 of all bytes."""
    made = pipeline.quantize(channel_last((8, 8, channels), dtype), "akida2")
    assert made.samples is not None
    assert (made.samples.random, len(made.samples)) == (True, 1024)
    (drawn,) = next(iter(made.samples.batches(64))).values()
    assert (drawn.min(), drawn.max()) == (low, high)
    assert any("random" in line for line in made.warnings)
    fewer = pipeline.quantize(channel_last((8, 8, channels), dtype), "akida2", config=Config(num_samples=48))
    assert fewer.samples is not None
    assert len(fewer.samples) == 48


def test_random_samples_of_a_float_image() -> None:
    made = pipeline.quantize(channel_last((8, 8, 3)), "akida2")
    assert made.samples is not None
    (drawn,) = next(iter(made.samples.batches(64))).values()
    assert (drawn.min(), drawn.max()) == (0, 255)
    np.testing.assert_array_equal(drawn, np.rint(drawn))
