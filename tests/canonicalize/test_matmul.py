"""Products of tensors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from quaint.graph import constant

Canonical = Callable[..., ir.Model]
Ops = Callable[[ir.Model], list[str]]


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def test_constant_on_the_left_goes_to_the_right(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    model = canonical("(float[N,6,8] x) => (float[N,5,8] y) { [mix] y = MatMul (w, x) }", w=weights(rng, 5, 6))
    assert ops(model) == ["Transpose", "MatMul", "Transpose"]
    matmul = model.graph[1]
    weight = constant(matmul.inputs[1])
    assert matmul.name == "mix"
    assert weight is not None
    assert weight.shape == (6, 5)


def test_axes_of_one_are_dropped(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    model = canonical("(float[N,6,8] x) => (float[N,6,3] y) { y = MatMul (x, w) }", w=weights(rng, 1, 8, 3))
    weight = constant(model.graph[0].inputs[1])
    assert ops(model) == ["MatMul"]
    assert weight is not None
    assert weight.shape == (8, 3)


def test_a_matrix_for_each_head_stays(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    model = canonical("(float[N,2,6,8] x) => (float[N,2,6,3] y) { y = MatMul (x, w) }", w=weights(rng, 2, 8, 3))
    assert ops(model) == ["MatMul"]


@pytest.mark.parametrize(
    ("equation", "x", "y", "out", "expected"),
    [
        ("bij,bjk->bik", "N,4,5", "N,5,6", "N,4,6", ["MatMul"]),
        ("bid, bjd -> bij", "N,4,5", "N,6,5", "N,4,6", ["Transpose", "MatMul"]),
        ("bqhd,bkhd->bhqk", "N,4,2,5", "N,6,2,5", "N,2,4,6", ["Transpose", "Transpose", "MatMul"]),
        ("bij,bjk->bki", "N,4,5", "N,5,6", "N,6,4", ["MatMul", "Transpose"]),
    ],
)
def test_einsum_of_two_tensors(
    canonical: Canonical, ops: Ops, equation: str, x: str, y: str, out: str, expected: list[str]
) -> None:
    model = canonical(
        f'(float[{x}] x, float[{y}] y) => (float[{out}] z) {{ z = Einsum <equation = "{equation}"> (x, y) }}'
    )
    assert ops(model) == expected
    assert model.metadata_props["quaint.batch"] == "symbolic"


def test_einsum_with_weights(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    model = canonical(
        '(float[N,4,5] x) => (float[N,4,6] z) { [fc] z = Einsum <equation = "bij,jk->bik"> (x, w) }',
        w=weights(rng, 5, 6),
    )
    assert ops(model) == ["MatMul"]
    assert model.graph[0].name == "fc"


@pytest.mark.parametrize("equation", ["bii,bij->bj", "bij,bij->b", "bij,bij->bij", "...ij,...jk->...ik"])
def test_other_einsums_are_left_alone(canonical: Canonical, ops: Ops, equation: str) -> None:
    out = {"b": "2", "bj": "2,4", "bij": "2,4,4"}.get(equation.split("->")[1], "2,4,4")
    model = canonical(
        f'(float[2,4,4] x, float[2,4,4] y) => (float[{out}] z) {{ z = Einsum <equation = "{equation}"> (x, y) }}'
    )
    assert ops(model) == ["Einsum"]
