"""Kernels over whole axes against NumPy, and traced against untraced."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from layer_models import INT8, layer_model
from quaint.layers.kernels import KERNELS
from quaint.layers.kernels_reductions import REDUCTIONS
from quaint.simulators.onnxruntime import OnnxRuntime
from quaint.simulators.reference import Reference

X = np.random.default_rng(0).integers(-128, 128, (2, 3, 4, 6)).astype(np.int8)
X[:, 0, 0, :2] = -128, 127
STAGE = {"low": -128, "high": 127, "rounding": "half_even"}


def run(op: str, constants: Any = None, *, axes: tuple[int, ...], keepdims: bool, **attributes: Any) -> np.ndarray:
    """One layer on ``X``: the same from both simulators."""
    after = [1 if axis in axes else size for axis, size in enumerate((None, 3, 4, 6)) if keepdims or axis not in axes]
    given_ = {"axes": list(axes), "keepdims": keepdims, **attributes}
    model = layer_model(op, [(INT8, (None, 3, 4, 6))], INT8, tuple(after), constants or {}, given_)
    one, other = (kind(model, {**KERNELS, **REDUCTIONS}).run({"x0": X})["y"] for kind in (Reference, OnnxRuntime))
    np.testing.assert_array_equal(one, other)
    return one


AXES = st.sets(st.integers(1, 3), min_size=1).map(lambda axes: tuple(sorted(axes)))


@given(AXES, st.booleans(), st.integers(0, 6), st.integers(-3, 3))
def test_sums_are_shifted(axes: tuple[int, ...], keepdims: bool, shift: int, zero: int) -> None:
    made = run("reduce_sum", {"shift": np.asarray(shift)}, axes=axes, keepdims=keepdims, input_zero_point=zero, **STAGE)
    total = (X.astype(np.int64) - zero).sum(axes, keepdims=keepdims)
    np.testing.assert_array_equal(made, np.clip(np.rint(total / 2**shift), -128, 127))


@given(AXES, st.booleans())
def test_a_mean_is_one_float32_factor(axes: tuple[int, ...], keepdims: bool) -> None:
    count = np.prod([X.shape[axis] for axis in axes])
    factor = np.asarray(1 / count, np.float32)
    made = run("reduce_sum", {"multiplier": factor}, axes=axes, keepdims=keepdims, **STAGE)
    total = X.astype(np.int64).sum(axes, keepdims=keepdims).astype(np.float32)
    np.testing.assert_array_equal(made, np.rint(total * factor))


@given(AXES, st.booleans(), st.booleans())
def test_extremes(axes: tuple[int, ...], keepdims: bool, largest: bool) -> None:
    made = run("reduce_max", axes=axes, keepdims=keepdims, largest=largest)
    np.testing.assert_array_equal(made, (X.max if largest else X.min)(axes, keepdims=keepdims))
