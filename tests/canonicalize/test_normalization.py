"""Layer normalization by its name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from quaint.graph import attribute, constant

Canonical = Callable[..., ir.Model]
Ops = Callable[[ir.Model], list[str]]

STATISTICS = """
    mean = ReduceMean <axes = [-1]> (x)
    d = Sub (x, mean)
    square = Pow (d, two)
    variance = ReduceMean <axes = [-1]> (square)
    shifted = Add (variance, epsilon)
    root = Sqrt (shifted)
"""
CONSTANTS = {
    "two": np.array(2, np.float32),
    "epsilon": np.array(1e-5, np.float32),
    "scale": np.linspace(0.5, 2, 6, dtype=np.float32),
    "bias": np.linspace(-1, 1, 6, dtype=np.float32),
    "other": np.full(6, 3, np.float32),
}


def model(canonical: Canonical, body: str, statistics: str = STATISTICS) -> ir.Model:
    return canonical(f"(float[N,4,6] x) => (float[N,4,6] y) {{ {statistics} {body} }}", 13, **CONSTANTS)


@pytest.mark.parametrize(
    "body",
    [
        "normed = Div (d, root) scaled = Mul (normed, scale) y = Add (scaled, bias)",
        "normed = Div (d, root) scaled = Mul (scale, normed) y = Add (bias, scaled)",
        "inverse = Reciprocal (root) normed = Mul (inverse, d) scaled = Mul (normed, scale) y = Add (scaled, bias)",
        "again = Sub (x, mean) normed = Div (again, root) scaled = Mul (normed, scale) y = Add (scaled, bias)",
    ],
)
def test_spelled_out(canonical: Canonical, ops: Ops, body: str) -> None:
    made = model(canonical, body)
    assert ops(made) == ["LayerNormalization"]
    (norm,) = made.graph
    assert attribute(norm, "axis") == 2
    np.testing.assert_allclose(attribute(norm, "epsilon"), 1e-5)
    np.testing.assert_array_equal(constant(norm.inputs[1]), CONSTANTS["scale"])
    np.testing.assert_array_equal(constant(norm.inputs[2]), CONSTANTS["bias"])


def test_squares_as_products(canonical: Canonical, ops: Ops) -> None:
    made = model(canonical, "y = Div (d, root)", STATISTICS.replace("Pow (d, two)", "Mul (d, d)"))
    assert ops(made) == ["LayerNormalization"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("square = Pow (d, two)", "square = Pow (x, two)"),
        ("variance = ReduceMean <axes = [-1]>", "variance = ReduceMean <axes = [1]>"),
        ("root = Sqrt (shifted)", "root = Exp (shifted)"),
        ("Sub (x, mean)", "Add (x, mean)"),
    ],
)
def test_anything_else_stays(canonical: Canonical, ops: Ops, old: str, new: str) -> None:
    made = model(canonical, "y = Div (d, root)", STATISTICS.replace(old, new))
    assert "LayerNormalization" not in ops(made)


def test_only_one_factor_and_one_term(canonical: Canonical, ops: Ops) -> None:
    made = model(
        canonical, "n = Div (d, root) a = Mul (n, scale) b = Mul (a, other) c = Add (b, bias) y = Add (c, other)"
    )
    assert ops(made)[0] == "LayerNormalization"
    assert set(ops(made)[1:]) == {"Mul", "Add"}
