from __future__ import annotations

import math

import numpy as np
import pytest

from quaint.simulators.exact import Exact
from quaint_espdl.kernels.functions import FUNCTIONS, once_rounded

X = np.linspace(-6, 6, 97, dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "attributes", "truth"),
    [
        ("Sigmoid", {}, lambda x: 1 / (1 + math.exp(-x))),
        ("Tanh", {}, math.tanh),
        ("Swish", {}, lambda x: x / (1 + math.exp(-x))),
        ("HardSigmoid", {"alpha": 0.25}, lambda x: min(max(0.25 * x + 0.5, 0), 1)),
        ("HardSwish", {}, lambda x: x * min(max(x / 6 + 0.5, 0), 1)),
        ("LeakyRelu", {"alpha": 0.1}, lambda x: x if x >= 0 else 0.1 * x),
        ("Elu", {"alpha": 0.5}, lambda x: x if x >= 0 else 0.5 * math.expm1(x)),
        ("Exp", {}, math.exp),
        ("Neg", {}, lambda x: -x),
        ("Relu", {}, lambda x: max(x, 0)),
        ("Clip", {"min": -1.0, "max": 2.0}, lambda x: min(max(x, -1), 2)),
    ],
)
def test_functions(name: str, attributes: dict[str, float], truth: object) -> None:
    assert callable(truth)
    made = FUNCTIONS[name](Exact(), X, attributes)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, [truth(float(x)) for x in X], rtol=1e-5, atol=1e-5)


def test_functions_of_the_c_library_are_rounded_once() -> None:
    made = once_rounded(np.exp, X)
    np.testing.assert_array_equal(made, np.exp(X.astype(np.float64)).astype(np.float32))
    assert once_rounded(np.log, np.zeros(1, np.float32))[0] == -np.inf
