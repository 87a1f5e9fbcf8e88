"""Values of constants: rows 32 to 34 of the table of bad input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import ModelProto, helper, numpy_helper

from quaint.errors import QuaintError
from quaint.frontends.onnx import load

if TYPE_CHECKING:
    from collections.abc import Callable

LOWEST = float(np.finfo(np.float32).min)


def put(model: ModelProto, which: int, position: int, value: float) -> None:
    tensor = model.graph.initializer[which]
    values = numpy_helper.to_array(tensor).copy()
    values.flat[position] = value
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def constant(model: ModelProto, name: str, value: object) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))


def add(model: ModelProto, op: str, inputs: list[str], output: str) -> None:
    model.graph.node.append(helper.make_node(op, inputs, [output], f"{op.lower()}9"))


@pytest.mark.parametrize(
    ("code", "message", "which", "position", "value"),
    [
        ("QM180", "'w1': 1 of 108 values are NaN, the first at [0, 0, 1, 2]", 0, 5, np.nan),
        ("QM181", "'w2': 1 of 8 values are infinite, the first at [2, 1]", 2, 5, -np.inf),
        ("QM181", "'b1': 1 of 4 values are infinite, the first at [3]", 1, 3, np.inf),
        ("QM182", "'w1': 1 of 108 values are too large (1e+38", 0, 107, -1e38),
        ("QM182", "'b1': 1 of 4 values are too large (1e+38", 1, 0, 1e38),
    ],
)
def test_refused(
    code: str,
    message: str,
    which: int,
    position: int,
    value: float,
    model: ModelProto,
    refuses: Callable[[ModelProto, str, str], None],
) -> None:
    put(model, which, position, value)
    refuses(model, code, message)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats(dtype: type[np.floating], model: ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, np.nan], dtype), "spare"))
    with pytest.raises(QuaintError, match=r"QM180.*'spare'"):
        load(model)


def test_constant_nodes(model: ModelProto) -> None:
    put(model, 0, 5, np.nan)
    weights = model.graph.initializer.pop(0)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w1"], "c", value=weights))
    with pytest.raises(QuaintError, match=r"QM180.*'w1': 1 of 108"):
        load(model)


def test_constants_of_plain_floats(model: ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], "c", value_floats=[0.0, float("nan")]))
    with pytest.raises(QuaintError, match=r"QM180.*'c': 1 of 2 .* at \[1\]"):
        load(model)


def test_weights_are_found_behind_what_moves_them(model: ModelProto) -> None:
    put(model, 0, 5, 1e38)
    model.graph.initializer[0].name = "w0"
    model.graph.node.insert(0, helper.make_node("Identity", ["w0"], ["w1"], "move"))
    with pytest.raises(QuaintError, match=r"QM182.*'w0'"):
        load(model)


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_the_bound_is_where_it_is_said_to_be(factor: float, model: ModelProto) -> None:
    put(model, 0, 5, factor * (-LOWEST / 108) ** 0.5)
    if factor < 1:
        assert load(model)
    else:
        with pytest.raises(QuaintError, match="QM182"):
            load(model)


def test_masks_and_bounds_may_be_infinite_or_huge(model: ModelProto) -> None:
    constant(model, "low", [-np.inf])
    constant(model, "high", np.inf)
    constant(model, "mask", [0, -np.inf])
    constant(model, "lowest", LOWEST)
    constant(model, "lowest2", [0, LOWEST])
    constant(model, "zero", 0)
    add(model, "Clip", ["t2", "", "high"], "z1")
    add(model, "Greater", ["t2", "zero"], "positive")
    add(model, "Where", ["positive", "low", "t2"], "z2")
    add(model, "Add", ["y", "mask"], "z3")
    add(model, "Softmax", ["z3"], "z4")
    add(model, "Mul", ["y", "lowest"], "z5")
    add(model, "Add", ["y", "lowest2"], "z6")
    for index, node in enumerate(model.graph.node):
        node.name = f"n{index}"
    assert len(load(model).graph) == 12


def test_an_infinite_addend_is_no_mask(model: ModelProto) -> None:
    constant(model, "mask", [0, -np.inf])
    add(model, "Add", ["y", "mask"], "z3")
    with pytest.raises(QuaintError, match=r"QM181.*'mask'"):
        load(model)
