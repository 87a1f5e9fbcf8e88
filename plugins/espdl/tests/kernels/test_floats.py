from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from quaint.simulators.exact import Exact
from quaint.simulators.tracing_graph import Untraceable
from quaint_espdl.kernels import floats as kernels
from quaint_espdl.kernels.floats import FLOAT_KERNELS, quantized

INT8: dict[str, Any] = {"low": -128, "high": 127, "rounding": "half_even"}
K = Exact()
X = np.array([[-100, -3, 0, 5, 127]])


def test_floats_become_integers() -> None:
    values = np.array([0.5, 1.5, -1e30, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(quantized(K, values, out_scale=1.0, **INT8), [0, 2, -128, 127, 0])
    np.testing.assert_array_equal(quantized(K, values[:2], out_scale=0.25, **INT8), [2, 6])
    np.testing.assert_array_equal(quantized(K, values[:2], out_scale=None, **INT8), values[:2])


def test_only_arrays() -> None:
    with pytest.raises(Untraceable, match="'real_power' has no form in ONNX"):
        FLOAT_KERNELS["RealPow"](Exact(), "a traced value")


def test_division() -> None:
    y = np.array([[7, 0, 0, 0, -4]])
    made = kernels.divide(K, X, y, factor=1.0, inverse=False, **INT8)
    np.testing.assert_array_equal(made, [[-14, -128, 0, 127, -32]])
    made = kernels.divide(K, X, constant=np.array(50), factor=2.0, inverse=True, from_constant=False, **INT8)
    np.testing.assert_array_equal(made, [[-4, 0, 0, 0, 5]])
    made = kernels.divide(
        K, np.array([3]), constant=np.array(50), factor=1.0, inverse=False, from_constant=True, **INT8
    )
    np.testing.assert_array_equal(made, [17])


def test_remainder_has_the_sign_of_the_dividend() -> None:
    made = kernels.remainder(K, X, np.array([[7]]), scale=1.0, scale_y=1.0, out_scale=1.0, **INT8)
    np.testing.assert_array_equal(made, [[-2, -3, 0, 5, 1]])


def test_power() -> None:
    scales: dict[str, Any] = {"scale": 0.5, "scale_y": 1.0, "out_scale": 0.25}
    x, y = np.array([3, 4]), np.array([2])
    np.testing.assert_array_equal(kernels.power(K, x, y, **scales, **INT8), [9, 16])
    np.testing.assert_array_equal(kernels.power(K, x, constant=y, **scales, **INT8), [9, 16])
    np.testing.assert_array_equal(kernels.power(K, y, constant=x, from_constant=True, **scales, **INT8), [9, 16])
    np.testing.assert_array_equal(kernels.real_power(x, y, **scales, **INT8), [9, 16])


@pytest.mark.parametrize("bits", [8, 16])
def test_softmax(bits: int) -> None:
    made = kernels.softmax(K, X, scale=0.125, axis=-1, bits=bits, out_scale=None, **INT8)
    np.testing.assert_allclose(made.sum(), 1, rtol=1e-6)
    logarithms = kernels.log_softmax(K, X, scale=0.125, axis=-1, bits=bits, out_scale=None, **INT8)
    np.testing.assert_allclose(np.exp(logarithms), made, rtol=1e-5)


def test_interpolation() -> None:
    x = np.array([0, 10, 30]).reshape(1, 3, 1)
    sides: dict[str, Any] = {"axes": [1], "low_index": [[0, 0, 1, 1]], "fraction": [[0.0, 0.5, 0.25, 1.0]]}
    made = kernels.resize(K, x, scale=1.0, out_scale=1.0, **sides, **INT8)
    np.testing.assert_array_equal(made.ravel(), [0, 5, 15, 30])


def test_scatter_saturates_at_every_step() -> None:
    data, updates = np.array([100, 1]), np.array([100, -50, 3])
    places = np.array([[0], [0], [1]])
    made = kernels.scatter_reduce(data, updates, indices=places, reduction="add", low=-128, high=127)
    np.testing.assert_array_equal(made, [77, 4])


def test_operations_on_floats() -> None:
    x = np.array([1.0, 4.0], np.float32)
    np.testing.assert_array_equal(kernels.unary(K, x, function="Sqrt", attributes={}), [1, 2])
    np.testing.assert_array_equal(kernels.binary(K, x, constant=x, function="Sub"), [0, 0])
    third = kernels.binary(K, x, constant=np.float32(3), function="Div")
    assert Fraction(float(third[0])) == Fraction(float(np.float32(1) / np.float32(3)))
