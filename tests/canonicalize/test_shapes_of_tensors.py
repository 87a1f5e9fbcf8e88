"""Reshapes and transposes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from quaint.canonicalize.reshapes import is_flatten, moves_only_ones, reshape_target
from quaint.graph import constant

Canonical = Callable[..., ir.Model]
Ops = Callable[[ir.Model], list[str]]


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("before", "after", "target"),
    [
        (("N", 3, 4), ("N", 12), [0, 12]),
        ((1, 3, 4), (1, 4, 3), [0, 4, 3]),
        ((2, 6), (3, 4), [3, 4]),
        ((5, "N", 4), (5, "N", 2, 2), [0, 0, 2, 2]),
        ((5, 1, "N", 4), (5, "N", 4), [0, -1, 4]),
        (("N", 4), (None, 2), None),
        ((0, 4), (0, 2, 2), None),
    ],
)
def test_reshape_target(before: tuple, after: tuple, target: list[int] | None) -> None:
    assert reshape_target(before, after) == target


def test_flatten_and_moves() -> None:
    assert is_flatten(("N", 3, 4), ("N", 12))
    assert not is_flatten(("N", 12), ("N", 12))
    assert moves_only_ones(("N", 3, 1, 1), (0, 2, 3, 1))
    assert not moves_only_ones(("N", 3, 2, 1), (0, 2, 3, 1))


@pytest.mark.parametrize(
    "body",
    [
        "y = Flatten (x)",
        "y = Reshape (x, to_batch)",
        "y = Reshape (x, to_rest)",
        "y = Reshape (x, to_one)",
        "a = Reshape (x, inner) y = Flatten (a)",
        "a = Unsqueeze (x, axis) b = Squeeze (a, axis) y = Reshape (b, to_rest)",
    ],
)
def test_what_flattens_is_flatten(canonical: Canonical, ops: Ops, body: str) -> None:
    model = canonical(
        f"(float[1,3,4,2] x) => (float[1,24] y) {{ {body} }}",
        to_batch=np.array([0, -1]),
        to_rest=np.array([-1, 24]),
        to_one=np.array([1, 24]),
        inner=np.array([1, 4, 6, 1]),
        axis=np.array([2]),
    )
    assert ops(model) == ["Flatten"]
    assert model.metadata_props["quaint.batch"] == "symbolic"


def test_squeeze_is_reshape(canonical: Canonical, ops: Ops) -> None:
    model = canonical("(float[N,3,1,5] x) => (float[N,3,5] y) { y = Squeeze <axes = [2]> (x) }", 11)
    assert ops(model) == ["Reshape"]
    assert constant(model.graph[0].inputs[1]).tolist() == [0, 3, 5]


def test_transposing_ones_is_reshape(canonical: Canonical, ops: Ops) -> None:
    model = canonical("(float[N,3,1,5] x) => (float[N,1,3,5] y) { y = Transpose <perm = [0,2,1,3]> (x) }")
    assert ops(model) == ["Reshape"]


def test_channel_last_block_is_channel_first(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    model = canonical(
        """(float[N,8,8,3] image) => (float[N,10] y) {
            x = Transpose <perm = [0,3,1,2]> (image)
            [conv] c = Conv <pads = [1,1,1,1]> (x, w)
            cl = Transpose <perm = [0,2,3,1]> (c)
            r = Relu (cl)  s = Sigmoid (cl)  m = Mul (r, s)  a = Add (m, bias)
            cf = Transpose <perm = [0,3,1,2]> (a)
            d = Conv <pads = [1,1,1,1]> (cf, v)
            dl = Transpose <perm = [0,2,3,1]> (d)
            e = Add (dl, a)  f = Pad (e, pads)  g = Concat <axis = -1> (f, f)
            mean = ReduceMean <axes = [1,2], keepdims = 0> (g)
            y = Gemm (mean, fc) }""",
        13,
        w=weights(rng, 4, 3, 3, 3),
        v=weights(rng, 4, 4, 3, 3),
        bias=weights(rng, 4),
        pads=np.array([0, 1, 2, 0, 0, 0, 1, 0]),
        fc=weights(rng, 8, 10),
    )
    assert ops(model)[0] == "Transpose"
    assert ops(model).count("Transpose") == 1
    assert ops(model)[-3:] == ["GlobalAveragePool", "Flatten", "Gemm"]
    assert "conv" in {node.name for node in model.graph}


def test_transpose_in_front_of_flatten_goes_into_the_weights(
    canonical: Canonical, ops: Ops, rng: np.random.Generator
) -> None:
    model = canonical(
        """(float[N,3,4,5] x) => (float[N,7] y) {
            c = Relu (x)  t = Transpose <perm = [0,2,3,1]> (c)  f = Reshape (t, shape)  m = MatMul (f, w)  y = Add (m, b) }""",
        shape=np.array([-1, 60]),
        w=weights(rng, 60, 7),
        b=weights(rng, 7),
    )
    assert ops(model) == ["Relu", "Flatten", "Gemm"]


def test_squeeze_and_excite_in_channel_last(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    model = canonical(
        """(float[N,4,6,6] x) => (float[N,4,6,6] y) {
            c = Conv (x, w)  cl = Transpose <perm = [0,2,3,1]> (c)
            mean = ReduceMean <axes = [1,2], keepdims = 1> (cl)
            mf = Transpose <perm = [0,3,1,2]> (mean)  e = Conv (mf, v)  el = Transpose <perm = [0,2,3,1]> (e)
            s = Sigmoid (el)  m = Mul (cl, s)  y = Transpose <perm = [0,3,1,2]> (m) }""",
        13,
        w=weights(rng, 4, 4, 1, 1),
        v=weights(rng, 4, 4, 1, 1),
    )
    assert ops(model) == ["Conv", "GlobalAveragePool", "Conv", "Sigmoid", "Mul"]


def test_softmax_and_reductions_follow_their_axis(canonical: Canonical, ops: Ops) -> None:
    model = canonical(
        """(float[N,3,4,5] x) => (float[N,3,4,5] y, float[N,5,3] z) {
            a = Relu (x)  t = Transpose <perm = [0,2,3,1]> (a)
            s = Softmax <axis = -1> (t)  y = Transpose <perm = [0,3,1,2]> (s)
            b = Exp (x)  u = Transpose <perm = [0,2,3,1]> (b)  z = ReduceMax <axes = [1], keepdims = 0> (u) }""",
        13,
    )
    assert ops(model).count("Transpose") == 1


def test_what_does_not_cancel_stays_behind_the_activation(
    canonical: Canonical, ops: Ops, rng: np.random.Generator
) -> None:
    model = canonical(
        """(float[N,3,4,5] x) => (float[N,4,5,2] y) {
            c = Conv (x, w)  t = Transpose <perm = [0,2,3,1]> (c)  y = Relu (t) }""",
        w=weights(rng, 2, 3, 1, 1),
    )
    assert ops(model) == ["Conv", "Relu", "Transpose"]
    assert model.graph.outputs[0].name == "y"


def test_transposes_at_the_edges_stay(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    model = canonical(
        """(float[N,4,5,3] x) => (float[N,4,5,2] y) {
            t = Transpose <perm = [0,3,1,2]> (x)  c = Conv (t, w)  y = Transpose <perm = [0,2,3,1]> (c) }""",
        w=weights(rng, 2, 3, 1, 1),
    )
    assert ops(model) == ["Transpose", "Conv", "Transpose"]


def test_two_graph_outputs_of_inverse_transposes(canonical: Canonical, ops: Ops) -> None:
    model = canonical(
        """(float[N,4,5] x) => (float[N,5,4] y, float[N,4,5] z) {
            y = Transpose <perm = [0,2,1]> (x)  z = Transpose <perm = [0,2,1]> (y) }"""
    )
    assert ops(model) == ["Transpose", "Identity"]


def test_expand_does_not_name_the_batch(canonical: Canonical, ops: Ops) -> None:
    model = canonical(
        "(float[2,1,3] x) => (float[2,4,3] y) { r = Relu (x)  y = Expand (r, shape) }", shape=np.array([2, 4, 3])
    )
    assert ops(model) == ["Relu", "Expand"]
    assert constant(model.graph[1].inputs[1]).tolist() == [1, 4, 1]
    assert model.metadata_props["quaint.batch"] == "symbolic"
