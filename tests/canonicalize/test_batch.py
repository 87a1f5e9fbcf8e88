"""The batch: symbolic where samples are independent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from quaint.canonicalize import BATCH_KEY, canonicalize
from quaint.errors import QuaintError
from quaint.graph import dims

Canonical = Callable[..., ir.Model]
Ops = Callable[[ir.Model], list[str]]

SYMBOLIC = {
    "shape_chain": """(float[batch,3,4] x) => (float[batch,12] y) {
        s = Shape (x)  b = Gather (s, zero)  u = Unsqueeze (b, axis)  t = Concat <axis = 0> (u, minus)  y = Reshape (x, t) }""",
    "start_end": """(float[batch,3,4] x) => (float[batch,12] y) {
        b = Shape <end = 1> (x)  t = Concat <axis = 0> (b, minus)  y = Reshape (x, t) }""",
    "baked_one": "(float[1,3,4] x) => (float[1,12] y) { y = Reshape (x, one_rest) }",
    "baked_two": "(float[2,3,4] x) => (float[2,12] y) { y = Reshape (x, two_rest) }",
    "second_axis": """(float[1,3,4] x) => (float[1,4,3] y) {
        t = Transpose <perm = [1,0,2]> (x)  r = Relu (t)  q = Reshape (r, seq)  p = Tanh (q)
        u = Transpose <perm = [1,0,3,2]> (p)  y = Reshape (u, back) }""",
    "attention": """(float[1,6,4] x) => (float[1,6,6] y) {
        k = Transpose <perm = [0,2,1]> (x)  m = MatMul (x, k)  y = Softmax (m) }""",
    "gather": "(int64[2,5] x) => (float[2,5,3] y) { y = Gather (table, x) }",
    "slices": """(float[1,6,4] x) => (float[1,2,4] y) {
        a, b, c = Split <axis = 1, num_outputs = 3> (x)  d = Slice (b, from, to, on)  p = Pad (d, nothing)  y = Add (p, c) }""",
}

FIXED = {
    "flattened": "(float[3,4] x) => (float[1,12] y) { y = Reshape (x, one_rest) }",
    "mean_over_batch": "(float[2,4] x) => (float[1,4] y) { y = ReduceMean (x, zero_axis) }",
    "mean_over_symbol": "(float[b,4] x) => (float[1,4] y) { y = ReduceMean (x, zero_axis) }",
    "merged": "(float[b,4,3] x) => (float[c,3] y) { y = Reshape (x, minus_three) }",
    "all": "(float[b,12] x) => (float[1,c] y) { y = Reshape (x, one_minus) }",
    "size_as_a_number": """(float[b,4] x) => (float[b,4] y) {
        s = Shape <end = 1> (x)  f = Cast <to = 1> (s)  y = Div (x, f) }""",
    "constant_with_batch": "(float[2,4] x) => (float[2,4] y) { y = Add (x, per_sample) }",
    "class_token": "(float[1,4,3] x) => (float[1,5,3] y) { y = Concat <axis = 1> (token, x) }",
    "unknown_operator": "(float[b,4] x) => (float[b,4] y) { y = CumSum (x, zero) }",
    "different_batches": "(float[1,4] x, float[3,4] w) => (float[3,4] y) { y = Add (x, w) }",
    "not_in_front": "(float[b,4] x) => (float[4,b] y) { y = Transpose (x) }",
    "samples_against_samples": "(float[b,4] x) => (float[b,c] y) { t = Transpose (x)  y = MatMul (x, t) }",
}

ARRAYS = {
    "zero": np.array(0),
    "axis": np.array([0]),
    "zero_axis": np.array([0]),
    "minus": np.array([-1]),
    "one_rest": np.array([1, 12]),
    "one_minus": np.array([1, -1]),
    "two_rest": np.array([2, -1]),
    "minus_three": np.array([-1, 3]),
    "seq": np.array([3, 1, 2, 2]),
    "back": np.array([1, 4, 3]),
    "table": np.arange(24, dtype=np.float32).reshape(8, 3),
    "from": np.array([0, 0]),
    "to": np.array([2**40, 2]),
    "on": np.array([0, 1]),
    "nothing": np.zeros(6, np.int64),
    "per_sample": np.arange(8, dtype=np.float32).reshape(2, 4),
    "token": np.ones((1, 1, 3), np.float32),
}


def arrays_of(text: str) -> dict[str, np.ndarray]:
    body = text[text.index("{") :].replace(",", " ").replace("(", " ").replace(")", " ").split()
    return {name: array for name, array in ARRAYS.items() if name in body}


@pytest.mark.parametrize("name", SYMBOLIC)
def test_symbolic(canonical: Canonical, ops: Ops, name: str) -> None:
    model = canonical(SYMBOLIC[name], 18, **arrays_of(SYMBOLIC[name]))
    assert model.metadata_props[BATCH_KEY] == "symbolic"
    assert not {"Shape", "Concat"} & set(ops(model))


@pytest.mark.parametrize("name", FIXED)
def test_fixed(canonical: Canonical, name: str) -> None:
    model = canonical(FIXED[name], 18, **arrays_of(FIXED[name]))
    assert model.metadata_props[BATCH_KEY] == "fixed"
    assert all(isinstance(dim, int) for value in model.graph.inputs for dim in dims(value))


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_zero_states_of_recurrent_layers(canonical: Canonical, rng: np.random.Generator, kind: str) -> None:
    gates = 3 if kind == "GRU" else 4
    states = ", h" if kind == "GRU" else ", h, h"
    model = canonical(
        f"""(float[2,5,3] x) => (float[2,4] z) {{
            t = Transpose <perm = [1,0,2]> (x)  y, last = {kind} <hidden_size = 4> (t, w, r, , {states})
            z = Squeeze (last, axis) }}""",
        14,
        w=rng.normal(size=(1, gates * 4, 3)).astype(np.float32),
        r=rng.normal(size=(1, gates * 4, 4)).astype(np.float32),
        h=np.zeros((1, 2, 4), np.float32),
        axis=np.array([0]),
    )
    assert model.metadata_props[BATCH_KEY] == "symbolic"


def test_dynamic_inputs_are_refused_or_given_a_shape(build: Canonical) -> None:
    model = build("(float[N,3,height,width] image) => (float[N,3,h,w] y) { y = Relu (image) }")
    with pytest.raises(QuaintError, match=r"QT320.*image.*--shape image=") as caught:
        canonicalize(model)
    assert caught.value.code == "QT320"
    fixed = canonicalize(model, {"image": (-1, 3, 8, 8)})
    assert dims(fixed.graph.inputs[0]) == ("N", 3, 8, 8)
    assert fixed.metadata_props[BATCH_KEY] == "symbolic"
    assert dims(model.graph.inputs[0]) == ("N", 3, "height", "width")


def test_inputs_of_unknown_rank(build: Canonical) -> None:
    model = build("(float x) => (float y) { y = Relu (x) }")
    model.graph.inputs[0].shape = None
    with pytest.raises(QuaintError, match="unknown rank"):
        canonicalize(model)
    assert dims(canonicalize(model, {"x": (2, 3)}).graph.outputs[0]) == ("N", 3)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"z": (1, 4)}, "did you mean 'x'|known: x"),
        ({"x": (1, 4, 4)}, "does not fit"),
        ({"x": (1, -1)}, "does not fit"),
        ({"x": (0, 4)}, "does not fit"),
        ({"x": (1, 5)}, "does not accept"),
    ],
)
def test_impossible_shapes(build: Canonical, shapes: dict[str, tuple[int, ...]], message: str) -> None:
    model = build("(float[N,4] x) => (float[N,3] y) { y = Gemm (x, w) }", w=np.ones((4, 3), np.float32))
    with pytest.raises(QuaintError, match=message) as caught:
        canonicalize(model, shapes)
    assert caught.value.code == "QT320"
