"""Fully connected layers."""

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


def test_a_product_over_a_channel_last_map_is_a_pointwise_convolution(
    canonical: Canonical, ops: Ops, rng: np.random.Generator
) -> None:
    model = canonical(
        """(float[N,5,4,3] x) => (float[N,4,3,2] y) {
            t = Transpose <perm = [0, 2, 3, 1]> (x)
            m = MatMul (t, w)
            y = Add (m, b) }""",
        w=weights(rng, 5, 2),
        b=weights(rng, 2),
    )
    assert ops(model) == ["Conv", "Transpose"]


def test_a_channel_last_map_that_others_read_stays(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    model = canonical(
        """(float[N,5,4,3] x) => (float[N,4,3,2] y, float[N,4,3,5] t) {
            t = Transpose <perm = [0, 2, 3, 1]> (x)
            y = MatMul (t, w) }""",
        w=weights(rng, 5, 2),
    )
    assert sorted(ops(model)) == ["MatMul", "Transpose"]


@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("bias", [(), (1,), (3,), (1, 3), None])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.5, 3.0), (1.0, 0.0)])
def test_gemm_has_one_form(
    canonical: Canonical,
    ops: Ops,
    rng: np.random.Generator,
    trans_b: int,
    bias: tuple[int, ...] | None,
    alpha: float,
    beta: float,
) -> None:
    arrays = {"w": weights(rng, *((3, 5) if trans_b else (5, 3)))}
    if bias is not None:
        arrays["b"] = weights(rng, *bias)
    model = canonical(
        f"""(float[N,5] x) => (float[N,3] y) {{
            y = Gemm <transB = {trans_b}, alpha = {alpha}, beta = {beta}> (x, w{"" if bias is None else ", b"}) }}""",
        **arrays,
    )
    assert ops(model) == ["Gemm"]
    assert "w" in model.graph.initializers


def test_bias_that_is_none(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    column = canonical(
        "(float[4,5] x) => (float[4,3] y) { [fc] y = Gemm (x, w, b) }", w=weights(rng, 5, 3), b=weights(rng, 4, 1)
    )
    assert ops(column) == ["Gemm", "Add"]
    assert column.graph[0].name == "fc"
    computed = canonical("(float[N,5] x, float[N,3] c) => (float[N,3] y) { y = Gemm (x, w, c) }", w=weights(rng, 5, 3))
    assert ops(computed) == ["Gemm", "Add"]


def test_transposed_input(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    model = canonical("(float[5,4] x) => (float[4,3] y) { y = Gemm <transA = 1> (x, w) }", w=weights(rng, 5, 3))
    assert ops(model) == ["Transpose", "Gemm"]


def test_gemm_of_two_tensors_is_left_alone(canonical: Canonical, ops: Ops) -> None:
    model = canonical("(float[4,5] a, float[4,5] b) => (float[4,4] y) { y = Gemm <transB = 1> (a, b) }")
    assert ops(model) == ["Gemm"]


def test_matmul_of_matrices_is_gemm_with_the_bias_inside(
    canonical: Canonical, ops: Ops, rng: np.random.Generator
) -> None:
    model = canonical(
        "(float[N,5] x) => (float[N,3] z) { [fc] y = MatMul (x, w)  z = Add (b, y) }",
        w=weights(rng, 5, 3),
        b=weights(rng, 1, 3),
    )
    assert ops(model) == ["Gemm"]
    assert model.graph[0].name == "fc"
    assert set(model.graph.initializers) == {"w", "fc.bias"}


def test_matmul_of_more_axes_stays(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    model = canonical(
        "(float[N,7,5] x) => (float[N,7,3] z) { y = MatMul (x, w)  z = Add (b, y) }",
        w=weights(rng, 5, 3),
        b=weights(rng, 3),
    )
    assert ops(model) == ["MatMul", "Add"]
    assert constant(model.graph[1].inputs[1]) is not None


def test_weights_shared_by_two_layers(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    model = canonical(
        "(float[N,5] x) => (float[N,5] z) { y = MatMul (x, w)  r = Relu (y)  z = Gemm <transB = 1> (r, w) }",
        w=weights(rng, 5, 5),
    )
    assert ops(model) == ["Gemm", "Relu", "Gemm"]
