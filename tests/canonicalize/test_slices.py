"""Slices in front of what only rearranges."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir
import pytest

from quaint.graph import constant, dims

Canonical = Callable[..., ir.Model]
Ops = Callable[[ir.Model], list[str]]

ATTENTION = """(float[N,5,24] x) => (float[N,2,5,4] q, float[N,2,5,4] k, float[N,2,5,4] v) {
    shape = Constant <value_ints = [0, 5, 3, 2, 4]> ()
    five = Reshape (x, shape)
    turned = Transpose <perm = [2, 0, 3, 1, 4]> (five)
    %s }"""
GATHER = """
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    last = Constant <value_int = -1> ()
    [query] q = Gather <axis = 0> (turned, zero)
    k = Gather <axis = 0> (turned, one)
    v = Gather <axis = 0> (turned, last)"""
SPLIT = """
    axes = Constant <value_ints = [0]> ()
    q0, k0, v0 = Split <axis = 0, num_outputs = 3> (turned)
    q = Squeeze (q0, axes)
    k = Squeeze (k0, axes)
    v = Squeeze (v0, axes)"""


@pytest.mark.parametrize("taken", [GATHER, SPLIT])
def test_heads_are_taken_apart_on_four_axes(canonical: Canonical, ops: Ops, taken: str) -> None:
    model = canonical(ATTENTION % taken)
    assert sorted(ops(model)) == ["Reshape"] * 3 + ["Slice"] * 3 + ["Transpose"] * 3
    assert all(len(dims(value) or ()) <= 4 for node in model.graph for value in node.outputs)
    assert model.metadata_props["quaint.batch"] == "symbolic"


def test_a_slice_keeps_its_name(canonical: Canonical) -> None:
    model = canonical(ATTENTION % GATHER)
    (query,) = [node for node in model.graph if node.name == "query"]
    assert query.op_type == "Slice"


def test_a_slice_passes_a_transpose(canonical: Canonical, ops: Ops) -> None:
    model = canonical(
        """(float[N,4,6,5] x) => (float[N,5,4,3] y) {
            t = Transpose <perm = [0, 3, 1, 2]> (x)
            start = Constant <value_ints = [1]> ()
            end = Constant <value_ints = [4]> ()
            axis = Constant <value_ints = [3]> ()
            [part] y = Slice (t, start, end, axis) }"""
    )
    axes = constant(model.graph[0].inputs[3])
    assert ops(model) == ["Slice", "Transpose"]
    assert axes is not None
    assert axes.tolist() == [2]


@pytest.mark.parametrize(("axis", "shape"), [(2, "N,5,2,4"), (3, "N,5,3,2")])
def test_only_the_first_part_of_a_split_axis(canonical: Canonical, ops: Ops, axis: int, shape: str) -> None:
    model = canonical(
        f"""(float[N,5,12] x) => (float[{shape}] y) {{
            shape = Constant <value_ints = [0, 5, 3, 4]> ()
            four = Reshape (x, shape)
            start = Constant <value_ints = [1]> ()
            end = Constant <value_ints = [3]> ()
            axis = Constant <value_ints = [{axis}]> ()
            y = Slice (four, start, end, axis) }}"""
    )
    assert ops(model) == (["Slice", "Reshape"] if axis == 2 else ["Reshape", "Slice"])


def test_one_entry_of_a_sequence_is_a_gather(canonical: Canonical, ops: Ops) -> None:
    model = canonical(
        """(float[N,5,12] x) => (float[N,12] y) {
            first = Constant <value_int = 0> ()
            y = Gather <axis = 1> (x, first) }"""
    )
    assert ops(model) == ["Gather"]
