"""Operators that do nothing, and arithmetic in one form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from quaint.graph import attribute, constant

Canonical = Callable[..., ir.Model]
Ops = Callable[[ir.Model], list[str]]

CONSTANTS = {
    "zeros": np.zeros(8, np.int64),
    "from": np.array([0, 0]),
    "to": np.array([2**31, 3]),
    "axes": np.array([0, 1]),
    "minus": np.array([-1]),
    "end": np.array([-(2**31)]),
    "one_axis": np.array([1]),
    "shape": np.array([0, 3, 4, 4]),
    "ones": np.ones(4, np.int64),
    "zero": np.zeros((3, 1, 1), np.float32),
    "one": np.array(1, np.float32),
    "wide": np.ones((1, 1, 1, 1, 1), np.float32),
    "false": np.array(False),
    "ratio": np.array(0.5, np.float32),
}


def arrays_of(body: str) -> dict[str, np.ndarray]:
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    return {name: array for name, array in CONSTANTS.items() if name in words}


@pytest.mark.parametrize(
    "body",
    [
        "a = Identity (r)",
        "a = Dropout (r, ratio, false)",
        "a = Cast <to = 1> (r)",
        "a = Pad (r, zeros)",
        "a = Reshape (r, shape)",
        "a = Transpose <perm = [0,1,2,3]> (r)",
        "a = Slice (r, from, to, axes)",
        "a = Concat <axis = 1> (r)",
        "a = Sum (r)",
        "a = Expand (r, ones)",
        "a = Tile (r, ones)",
        "a = Add (zero, r)",
        "a = Sub (r, zero)",
        "a = Mul (r, one)",
        "a = Div (r, one)",
        "a = MaxPool <kernel_shape = [1,1]> (r)",
        "b = Transpose <perm = [0,2,3,1]> (r) a = Transpose <perm = [0,3,1,2]> (b)",
    ],
)
def test_removed(canonical: Canonical, ops: Ops, body: str) -> None:
    model = canonical(
        f"(float[N,3,4,4] x) => (float[N,3,4,4] y) {{ r = Tanh (x) {body} y = Sigmoid (a) }}", **arrays_of(body)
    )
    assert ops(model) == ["Tanh", "Sigmoid"]


@pytest.mark.parametrize(
    ("body", "op"),
    [
        ("a = Slice (r, minus, end, one_axis, minus)", "Slice"),
        ("a = Mul (r, wide)", "Mul"),
        ("a = MaxPool <kernel_shape = [2,2], strides = [1,1]> (r)", "MaxPool"),
    ],
)
def test_kept(canonical: Canonical, ops: Ops, body: str, op: str) -> None:
    dims = "1,N,3,4,4" if "wide" in body else "N,3,A,B"
    batch = "2" if "wide" in body else "N"
    text = (
        f"(float[{batch},3,4,4] x) => (float[{dims.replace('N', batch)}] y) {{ r = Tanh (x) {body} y = Sigmoid (a) }}"
    )
    assert op in ops(canonical(text, **arrays_of(body)))


def test_outputs_keep_their_names(canonical: Canonical) -> None:
    model = canonical(
        "(float[N,4] x) => (float[N,4] y, float[N,4] z) { a = Tanh (x) y = Identity (a) z = Identity (a) }"
    )
    assert [value.name for value in model.graph.outputs] == ["y", "z"]
    assert [node.op_type for node in model.graph] == ["Tanh", "Identity"]


def test_an_output_that_is_an_input(canonical: Canonical, ops: Ops) -> None:
    assert ops(canonical("(float[N,4] x) => (float[N,4] y) { a = Dropout (x) y = Cast <to = 1> (a) }", 13)) == [
        "Identity"
    ]


def test_sums_are_chains_of_adds(canonical: Canonical, ops: Ops) -> None:
    model = canonical("(float[N,4] x, float[1,4] z) => (float[N,4] y) { a = Relu (x) [total] y = Sum (z, a, x, z) }")
    assert ops(model) == ["Relu", "Add", "Add", "Add"]
    assert model.graph[3].name == "total"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Sub (x, c)", ["Add"]),
        ("y = Sub (c, x)", ["Sub"]),
        ("y = Div (x, eight)", ["Mul"]),
        ("y = Div (x, three)", ["Div"]),
        ("y = Div (x, mixed)", ["Div"]),
        ("y = Add (c, x)", ["Add"]),
    ],
)
def test_binary_forms(canonical: Canonical, ops: Ops, body: str, expected: list[str]) -> None:
    arrays = {
        "c": np.array([1, -2], np.float32),
        "eight": np.array([8, -0.125], np.float32),
        "three": np.array(3, np.float32),
        "mixed": np.array([2, 3], np.float32),
    }
    words = body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    used = {name: array for name, array in arrays.items() if name in words}
    model = canonical(f"(float[N,2] x) => (float[N,2] y) {{ {body} }}", tolerance=0, **used)
    assert ops(model) == expected
    assert (constant(model.graph[0].inputs[1]) is not None) == (body != "y = Sub (c, x)")


def test_tensor_operands_are_ordered_by_position(canonical: Canonical) -> None:
    model = canonical("(float[N,2] x) => (float[N,2] y) { a = Tanh (x) b = Relu (a) c = Mul (b, a) y = Add (c, x) }")
    assert [[value.name for value in node.inputs] for node in model.graph][2:] == [["a", "b"], ["x", "c"]]


def test_axes_are_written_out(canonical: Canonical) -> None:
    model = canonical(
        "(float[N,2,3] x) => (float[N,2] y) { a = Softmax (x)  y = ReduceMax <axes = [-1], keepdims = 0> (a) }", 13
    )
    softmax, reduction = model.graph
    assert attribute(softmax, "axis") == 2
    assert constant(reduction.inputs[1]).tolist() == [2]


def test_a_split_becomes_a_slice_for_each_part_that_is_read(canonical: Canonical, ops: Ops) -> None:
    model = canonical(
        """(float[N,9] x) => (float[N,2] p, float[N,3] c)
        { h = Tanh (x) a, b, c = Split <axis = -1> (h, sizes) p = Relu (a) }""",
        sizes=np.array([2, 4, 3]),
    )
    assert ops(model) == ["Tanh", "Slice", "Slice", "Relu"]
    slices = [node for node in model.graph if node.op_type == "Slice"]
    bounds = [[constant(value).tolist() for value in node.inputs[1:]] for node in slices]
    assert bounds == [[[0], [2], [1]], [[6], [9], [1]]]
    assert [node.outputs[0].name for node in slices] == ["a", "c"]
