"""Two models that must compute the same, in whatever layout."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quaint.errors import QuaintError
from quaint.integer import IntegerModel, Layer
from quaint.numerics import IntType, QuantParams
from quaint.quantized import Quantized
from quaint.vectors import Vectors, _same, equal, reproduced

if TYPE_CHECKING:
    from quaint.target import Target

INT8 = QuantParams(np.ones(()), IntType(8, signed=True))


def summed(target: Target, shape: tuple[int, ...], axis: int, high: int = 127) -> Quantized:
    """``max(min(sum over an axis, high), -128)``: what makes a difference between layouts."""
    attributes = {"axes": [axis], "keepdims": True}
    tensors, shapes = dict.fromkeys("xy", INT8), {"x": shape, "y": (*shape[:axis], 1, *shape[axis + 1 :])}
    layers = (Layer("sum", ("x",), ("y",), attributes=attributes | {"high": high}, name="sum"),)
    model = IntegerModel("m", ("x",), ("y",), layers, tensors, shapes, "quaint.demo")
    return Quantized(model, replace(target, kernels={"sum": _sum}))


def _sum(a: Any, x: Any, *, axes: list[int], keepdims: bool, high: int) -> Any:
    return a.clip(a.sum(x, axes, keepdims=keepdims), -128, high)


X = np.random.default_rng(0).integers(-10, 10, (1, 3, 4, 5)).astype(np.int8)
CUBE = np.random.default_rng(0).integers(-10, 10, (1, 4, 4, 4)).astype(np.int8)


def test_vectors(demo: Target) -> None:
    model = summed(demo, X.shape, 1)
    wanted = X.sum(axis=1, keepdims=True)
    assert reproduced(model, Vectors({"x": X}, {"y": wanted}), "file", "vectors") == "vectors"
    with pytest.raises(QuaintError, match="QV402"):
        reproduced(model, Vectors({"x": X}, {"y": wanted + 1}), "file", "vectors")
    near = Vectors({"x": X}, {"y": wanted + 1}, {"y": 1})
    assert reproduced(model, near, "file", "vectors") == "vectors"


@pytest.mark.parametrize("x", [X, CUBE])
def test_the_same_model_with_the_channel_last(demo: Target, x: np.ndarray[Any, Any]) -> None:
    first = summed(demo, x.shape, 1)
    last = summed(demo, np.moveaxis(x, 1, -1).shape, 3)
    assert equal(first, last, {"x": x}, "file") == "integers of 1 tensors"
    assert equal(first, first, {"x": x}, "file") == "integers of 1 tensors"
    assert equal(first, last, None, "file") == "parameters of 2 tensors"


def test_another_model(demo: Target) -> None:
    with pytest.raises(QuaintError, match=r"QV403.*'y' has other integers"):
        equal(summed(demo, X.shape, 1), summed(demo, X.shape, 1, high=3), {"x": X}, "file")
    other = summed(demo, X.shape, 1)
    tensors = {**other.integer.tensors, "y": QuantParams(np.full((), 2.0), INT8.dtype)}
    other = replace(other, integer=replace(other.integer, tensors=tensors))
    with pytest.raises(QuaintError, match=r"QV403.*'y' has other parameters"):
        equal(summed(demo, X.shape, 1), other, {"x": X}, "file")


def test_what_is_no_number_on_both_sides_is_the_same() -> None:
    """Square roots of negative numbers, say."""
    nan = np.array([1.0, np.nan, np.inf], np.float32)
    assert _same(nan, nan.copy())
    assert not _same(nan, np.array([1.0, 2.0, np.inf], np.float32))
