"""Folding of batch normalization and per-channel arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from quaint.canonicalize import canonicalize
from quaint.graph import attribute, constant

Canonical = Callable[..., ir.Model]
Ops = Callable[[ir.Model], list[str]]


def bn(rng: np.random.Generator, channels: int) -> dict[str, np.ndarray]:
    return {
        "gamma": rng.normal(size=channels).astype(np.float32),
        "beta": rng.normal(size=channels).astype(np.float32),
        "mean": rng.normal(size=channels).astype(np.float32),
        "var": rng.uniform(0.1, 2, channels).astype(np.float32),
    }


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.normal(size=shape) / 3).astype(np.float32)


def test_bn_behind_conv_keeps_the_convs_name_and_the_results_name(
    canonical: Canonical, rng: np.random.Generator
) -> None:
    model = canonical(
        """(float[N,3,8,8] x) => (float[N,4,8,8] z) {
            [conv1] y = Conv <pads = [1,1,1,1]> (x, w)
            [norm] b = BatchNormalization <epsilon = 0.01> (y, gamma, beta, mean, var)
            [act] z = Relu (b) }""",
        w=weights(rng, 4, 3, 3, 3),
        **bn(rng, 4),
    )
    assert [(node.name, node.op_type, node.outputs[0].name) for node in model.graph] == [
        ("conv1", "Conv", "b"),
        ("act", "Relu", "z"),
    ]
    assert "w" in model.graph.initializers


def test_a_chain_is_rounded_once(canonical: Canonical, rng: np.random.Generator) -> None:
    arrays = {"w": weights(rng, 4, 3, 1, 1), "s": weights(rng, 4, 1, 1), "t": weights(rng, 1, 4, 1, 1), **bn(rng, 4)}
    model = canonical(
        """(float[N,3,2,2] x) => (float[N,4,2,2] z) {
            y = Conv (x, w)  b = BatchNormalization (y, gamma, beta, mean, var)
            c = Mul (s, b)  d = Sub (c, t)  e = Div (d, three)  z = Neg (e) }""",
        three=np.array(3, np.float32),
        **arrays,
    )
    (conv,) = model.graph
    double = {name: array.astype(np.float64) for name, array in arrays.items()}
    scale = double["gamma"] / np.sqrt(double["var"] + float(np.float32(1e-5)))
    total = -scale * double["s"].reshape(-1) / 3
    np.testing.assert_array_equal(
        constant(conv.inputs[1]), (double["w"] * total.reshape(-1, 1, 1, 1)).astype(np.float32)
    )


@pytest.mark.parametrize("group", [1, 2])
def test_bn_behind_transposed_conv(canonical: Canonical, ops: Ops, rng: np.random.Generator, group: int) -> None:
    text = """(float[N,4,5,5] x) => (float[N,6,10,10] z) {
        y = ConvTranspose <kernel_shape = [2,2], strides = [2,2], group = GROUP> (x, w, b)
        z = BatchNormalization (y, gamma, beta, mean, var) }"""
    model = canonical(
        text.replace("GROUP", str(group)), w=weights(rng, 4, 6 // group, 2, 2), b=weights(rng, 6), **bn(rng, 6)
    )
    assert ops(model) == ["ConvTranspose"]


def test_matmul_add_bn_becomes_one_gemm(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    model = canonical(
        """(float[N,5] x) => (float[N,3] z) {
            [fc] y = MatMul (x, w)  a = Add (y, b)  z = BatchNormalization (a, gamma, beta, mean, var) }""",
        w=weights(rng, 5, 3),
        b=weights(rng, 3),
        **bn(rng, 3),
    )
    assert ops(model) == ["Gemm"]
    assert model.graph[0].name == "fc"


@pytest.mark.parametrize("group", [1, 2])
def test_bn_in_front_of_unpadded_conv(canonical: Canonical, ops: Ops, rng: np.random.Generator, group: int) -> None:
    text = """(float[N,4,6,6] x) => (float[N,4,4,4] z) {
        y = BatchNormalization (x, gamma, beta, mean, var)  z = Conv <group = GROUP> (y, w, b) }"""
    model = canonical(
        text.replace("GROUP", str(group)), w=weights(rng, 4, 4 // group, 3, 3), b=weights(rng, 4), **bn(rng, 4)
    )
    assert ops(model) == ["Conv"]


def test_bn_in_front_of_padded_conv_stays_a_layer(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    model = canonical(
        """(float[N,3,6,6] x) => (float[N,2,6,6] z) {
            [norm] y = BatchNormalization (x, gamma, beta, mean, var)  z = Conv <pads = [1,1,1,1]> (y, w) }""",
        w=weights(rng, 2, 3, 3, 3),
        **bn(rng, 3),
    )
    assert ops(model) == ["Conv", "Conv"]
    assert (model.graph[0].name, attribute(model.graph[0], "group")) == ("norm", 3)


@pytest.mark.parametrize(("shape", "expected"), [("N,3", ["Mul", "Add"]), ("N,3,7", ["Conv"]), ("N,3,7,5", ["Conv"])])
def test_bn_alone(canonical: Canonical, ops: Ops, rng: np.random.Generator, shape: str, expected: list[str]) -> None:
    text = "(float[SHAPE] x) => (float[SHAPE] z) { z = BatchNormalization (x, gamma, beta, mean, var) }"
    assert ops(canonical(text.replace("SHAPE", shape), **bn(rng, 3))) == expected


def test_volumes_and_negative_variances_are_left_alone(
    canonical: Canonical, ops: Ops, rng: np.random.Generator
) -> None:
    text = "(float[N,2,2,2,2] x) => (float[N,2,2,2,2] z) { z = BatchNormalization (x, gamma, beta, mean, var) }"
    assert ops(canonical(text, **bn(rng, 2))) == ["BatchNormalization"]


def test_shared_weights_and_second_readers_are_respected(
    canonical: Canonical, ops: Ops, rng: np.random.Generator
) -> None:
    model = canonical(
        """(float[N,3,4,4] x) => (float[N,3,4,4] z, float[N,3,4,4] u) {
            y = Conv (x, w)  b = BatchNormalization (y, gamma, beta, mean, var)
            v = Conv (b, w)  u = Mul (v, two)  z = Add (v, u) }""",
        w=weights(rng, 3, 3, 1, 1),
        two=np.array([2], np.float32),
        **bn(rng, 3),
    )
    assert ops(model) == ["Conv", "Conv", "Mul", "Add"]


@pytest.mark.parametrize(("shape", "folds"), [((4, 1, 1), True), ((1,), True), ((4,), False), ((1, 4, 1, 4), False)])
def test_only_per_channel_constants_fold(
    canonical: Canonical, ops: Ops, rng: np.random.Generator, shape: tuple[int, ...], folds: bool
) -> None:
    model = canonical(
        "(float[N,2,4,4] x) => (float[N,4,4,4] z) { y = Conv (x, w)  z = Mul (y, c) }",
        w=weights(rng, 4, 2, 1, 1),
        c=weights(rng, *shape),
    )
    assert ops(model) == (["Conv"] if folds else ["Conv", "Mul"])


def test_overflowing_weights_are_not_folded(canonical: Canonical, ops: Ops) -> None:
    model = canonical(
        "(float[N,1] x) => (float[N,1] z) { y = Gemm (x, w)  s = Mul (y, tiny) z = Mul (s, huge) }",
        w=np.full((1, 1), 1e30, np.float32),
        tiny=np.array([1e-30], np.float32),
        huge=np.array([1e30], np.float32),
    )
    assert "Gemm" in ops(model)
    assert all(np.isfinite(constant(value)).all() for value in model.graph.initializers.values())


def test_division_by_zero_is_left_alone(build: Canonical, ops: Ops) -> None:
    model = build(
        "(float[N,2] x) => (float[N,2] z) { y = Gemm (x, w)  z = Div (y, c) }",
        w=np.eye(2, dtype=np.float32),
        c=np.array([1, 0], np.float32),
    )
    assert ops(canonicalize(model)) == ["Gemm", "Div"]


POOLS = {
    "MaxPool": "MaxPool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]>",
    "AveragePool": "AveragePool <kernel_shape = [2,2], strides = [2,2]>",
    "borders": "AveragePool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]>",
    "borders that count": "AveragePool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1], count_include_pad = 1>",
}


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("positive", [True, False])
def test_bn_behind_a_pool(
    canonical: Canonical, ops: Ops, rng: np.random.Generator, pool: str, *, positive: bool
) -> None:
    """The largest stays the largest only under a positive scale; a mean that counts zeros has no shift to take along."""
    arrays = bn(rng, 4)
    arrays["gamma"] = np.abs(arrays["gamma"]) * (1 if positive else -1)
    text = """(float[N,3,9,9] x) => (float[N,4,H,W] z) {
        [conv] y = Conv <pads = [1,1,1,1]> (x, w)  [pool] p = POOL (y)
        [norm] b = BatchNormalization <epsilon = 0.1> (p, gamma, beta, mean, var)  [act] z = Relu (b) }"""
    model = canonical(text.replace("POOL", POOLS[pool]), w=weights(rng, 4, 3, 3, 3), **arrays)
    kept = pool == "borders that count" or (pool == "MaxPool" and not positive)
    kind = "MaxPool" if pool == "MaxPool" else "AveragePool"
    moved = ["Conv", "Relu", kind] if pool == "MaxPool" else ["Conv", kind, "Relu"]
    assert ops(model) == (["Conv", kind, "Conv", "Relu"] if kept else moved)
    assert next(node.name for node in model.graph) == "conv"


def test_bn_stays_behind_a_pool_with_other_readers(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    model = canonical(
        """(float[N,3,8,8] x) => (float[N,4,4,4] z, float[N,4,4,4] p) {
            y = Conv <pads = [1,1,1,1]> (x, w)  p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (y)
            z = BatchNormalization (p, gamma, beta, mean, var) }""",
        w=weights(rng, 4, 3, 3, 3),
        **{**bn(rng, 4), "gamma": np.ones(4, np.float32)},
    )
    assert ops(model) == ["Conv", "MaxPool", "Conv"]
