"""Clips in one form, activations by name and in place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from quaint.graph import attribute, constant

Canonical = Callable[..., ir.Model]
Ops = Callable[[ir.Model], list[str]]
LIMIT = float(np.finfo(np.float32).max)


def f32(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def clip_bounds(node: ir.Node) -> list[float]:
    return [float(constant(value)) for value in node.inputs[1:]]


@pytest.mark.parametrize(
    ("body", "opset", "bounds"),
    [
        ("y = Clip <min = 0.0, max = 6.0> (x)", 10, [0, 6]),
        ("y = Clip (x, zero, six)", 13, [0, 6]),
        ("y = Clip (x, , six)", 13, [-LIMIT, 6]),
        ("a = Max (x, zero) y = Min (six, a)", 13, [0, 6]),
        ("a = Relu (x) y = Clip (a, minus, six)", 13, [0, 6]),
        ("a = Clip (x, minus, six) y = Max (a, zero)", 13, [0, 6]),
        ("y = Clip <min = 0.0> (x)", 6, None),
        ("y = Max (zero, x)", 8, None),
        ("a = Relu (x) b = Relu (a) y = Clip (b, zero)", 13, None),
    ],
)
def test_clip_forms(canonical: Canonical, ops: Ops, body: str, opset: int, bounds: list[float] | None) -> None:
    model = canonical(
        f"(float[N,4,3] x) => (float[N,4,3] y) {{ {body} }}", opset, zero=f32(0), six=f32(6), minus=f32(-1)
    )
    if bounds is None:
        assert ops(model) == ["Relu"]
    else:
        assert ops(model) == ["Clip"]
        assert clip_bounds(model.graph[0]) == bounds


def test_disjoint_clips_merge_to_a_point(canonical: Canonical, ops: Ops) -> None:
    model = canonical(
        "(float[N,4] x) => (float[N,4] y) { a = Clip (x, zero, one) y = Clip (a, two, three) }",
        zero=f32(0),
        one=f32(1),
        two=f32(2),
        three=f32(3),
    )
    assert ops(model) == ["Clip"]
    assert clip_bounds(model.graph[0]) == [2, 2]


def test_clips_that_do_not_fit_stay(canonical: Canonical, ops: Ops) -> None:
    crossed = canonical("(float[N,4] x) => (float[N,4] y) { y = Clip (x, one, zero) }", zero=f32(0), one=f32(1))
    assert clip_bounds(crossed.graph[0]) == [1, 0]
    wide = canonical("(float[N] x) => (float[1,N] y) { y = Max (x, c) }", c=np.zeros((1, 1), np.float32))
    assert ops(wide) == ["Max"]
    integers = canonical("(int64[N,4] x) => (int64[N,4] y) { y = Max (x, c) }", opset=13, c=np.array(2))
    assert ops(integers) == ["Max"]


@pytest.mark.parametrize("activation", ["y = Relu (p)", "y = Clip (p, low, high)"])
def test_activation_moves_in_front_of_max_pool(
    canonical: Canonical, ops: Ops, rng: np.random.Generator, activation: str
) -> None:
    model = canonical(
        f"""(float[N,2,9,9] x) => (float[N,3,5,5] y) {{
            c = Conv <pads = [1,1,1,1]> (x, w)
            [pool] p = MaxPool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (c) [act] {activation} }}""",
        w=rng.normal(size=(3, 2, 3, 3)).astype(np.float32),
        low=f32(-1),
        high=f32(0.5),
    )
    assert ops(model)[0] == "Conv"
    assert ops(model)[2] == "MaxPool"
    assert [node.name for node in model.graph][1:] == ["act", "pool"]


def test_activation_moves_in_front_of_many_pools(canonical: Canonical, ops: Ops) -> None:
    body = " ".join(f"p{i + 1} = MaxPool <kernel_shape = [2,2]> (p{i})" for i in range(60))
    model = canonical(f"(float[1,1,64,64] x) => (float[1,1,H,W] y) {{ p0 = Tanh (x) {body} y = Relu (p60) }}")
    assert ops(model) == ["Tanh", "Relu", *["MaxPool"] * 60]


def test_activation_stays_behind_a_pool_with_other_readers(canonical: Canonical, ops: Ops) -> None:
    model = canonical(
        """(float[N,2,4,4] x) => (float[N,2,2,2] y, float[N,2,2,2] p) {
            a = Sigmoid (x)  p = MaxPool <kernel_shape = [2,2], strides = [2,2]> (a)  y = Relu (p) }"""
    )
    assert ops(model) == ["Sigmoid", "MaxPool", "Relu"]


ERF = "d = Div (x, root)  e = Erf (d)  p = Add (e, one)"
TANH = "c = Pow (x, three)  k = Mul (c, cubic)  s = Add (x, k)  t = Mul (s, slope)  e = Tanh (t)  p = Add (one, e)"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("h = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x)  y = Mul (x, h)", "HardSwish"),
        ("a = Add (x, three)  c = Clip (a, zero, six)  m = Mul (x, c)  y = Div (m, six)", "HardSwish"),
        ("a = Add (three, x)  c = Clip (a, zero, six)  d = Div (c, six)  y = Mul (d, x)", "HardSwish"),
        ("a = Add (x, three)  c = Clip (a, zero, six)  y = Div (c, six)", "HardSigmoid"),
        (ERF + "  m = Mul (x, p)  y = Mul (m, half)", "Gelu"),
        (ERF + "  h = Mul (half, x)  y = Mul (h, p)", "Gelu"),
        (ERF + "  h = Mul (p, half)  y = Mul (h, x)", "Gelu"),
        (TANH + "  h = Mul (half, x)  y = Mul (h, p)", "Gelu"),
        ("s = Softplus (x)  t = Tanh (s)  y = Mul (t, x)", "Mish"),
    ],
)
def test_spelled_out_activations(canonical: Canonical, ops: Ops, body: str, name: str) -> None:
    model = canonical(
        f"(float[N,4,3] x) => (float[N,4,3] y) {{ {body} }}",
        17,
        zero=f32(0),
        one=f32(1),
        three=f32(3),
        six=f32(6),
        half=f32(0.5),
        root=f32(2**0.5),
        cubic=f32(0.044715),
        slope=f32((2 / np.pi) ** 0.5),
    )
    assert ops(model) == [name]
    if name == "Gelu":
        assert attribute(model.graph[0], "approximate") == ("tanh" if "Tanh" in body else "none")


@pytest.mark.parametrize(
    "body",
    [
        "h = HardSigmoid (x)  y = Mul (x, h)",
        "d = Div (x, two)  e = Erf (d)  p = Add (e, one)  m = Mul (x, p)  y = Mul (m, half)",
        "s = Sigmoid (x)  y = Mul (s, x)",
    ],
)
def test_similar_activations_are_not_renamed(canonical: Canonical, ops: Ops, body: str) -> None:
    model = canonical(f"(float[N,4] x) => (float[N,4] y) {{ {body} }}", 17, one=f32(1), two=f32(2), half=f32(0.5))
    assert not {"HardSwish", "Gelu"} & set(ops(model))


def test_swish_has_one_operand_order(canonical: Canonical) -> None:
    model = canonical("(float[N,4] x) => (float[N,4] y) { s = Sigmoid (x)  y = Mul (s, x) }")
    assert [value.name for value in model.graph[1].inputs] == ["x", "s"]


def test_a_constant_of_higher_rank_is_no_plain_factor(canonical: Canonical, ops: Ops) -> None:
    model = canonical(
        "(float[N,4] x) => (float[1,N,4] y) { h = HardSigmoid <alpha = 0.16666667> (x)  m = Mul (x, h)  y = Mul (m, c) }",
        c=np.ones((1, 1, 1), np.float32),
    )
    assert ops(model)[0] in {"HardSwish", "HardSigmoid"}
