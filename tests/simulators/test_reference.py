from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from quaint.errors import QuaintError
from quaint.integer import IntegerModel, Layer
from quaint.layers.kernels import KERNELS
from quaint.numerics import IntType, QuantParams
from quaint.simulators.reference import Reference

if TYPE_CHECKING:
    from quaint.simulators.base import Simulator
    from quaint.simulators.exact import Exact

Array = np.ndarray[Any, np.dtype[Any]]

FLOAT = onnx.parser.parse_model('<ir_version: 8, opset_import: ["": 17]> g (float[N] a) => (float[N] b) { b = Neg(a) }')
INT8, UINT4 = IntType(8, signed=True), IntType(4, signed=False)


def model(**clip: int) -> IntegerModel:
    """real -> q -> (clip -> low) -> low + q -> total -> real -> negated."""
    half = np.float32(0.5)
    layers = (
        Layer(
            "input_quantizer", ["x"], ["q"], {"factor": np.float32(2), "zero_point": 0},
            {"low": -128, "high": 127, "rounding": "half_even"},
        ),
        Layer("clip", ["q"], ["low"], attributes={"low": 0, "high": 15} | clip, name="relu"),
        Layer("add", ["low", "q"], ["total"], attributes={"low": -128, "high": 127}),
        Layer("dequantizer", ["total"], ["real"], {"scale": half, "zero_point": 0}),
        Layer("host", ["real"], ["negated"], {"model": np.frombuffer(FLOAT.SerializeToString(), np.uint8)}),
    )  # fmt: skip
    tensors = {name: QuantParams(half, dtype) for name, dtype in (("q", INT8), ("low", UINT4), ("total", INT8))}
    return IntegerModel("net", ("x",), ("negated",), layers, tensors, {}, "quaint.test")


def simulator(**clip: int) -> Simulator:
    return Reference(model(**clip), KERNELS)


X = np.array([-3.0, 2.0, 60.0, 1000.0])


def test_outputs_are_the_models() -> None:
    assert simulator().model.name == "net"
    result = simulator().run({"x": X})
    assert list(result) == ["negated"]
    assert result["negated"].dtype == np.float32
    np.testing.assert_array_equal(result["negated"], [3.0, -4.0, -63.5, -63.5])


def test_any_tensor_in_its_storage_type() -> None:
    result = simulator().run({"x": X}, ["total", "low", "x", "q"])
    assert {name: value.dtype.name for name, value in result.items()} == {
        "total": "int8", "low": "uint8", "x": "float32", "q": "int8",
    }  # fmt: skip
    np.testing.assert_array_equal(result["q"], [-6, 4, 120, 127])
    np.testing.assert_array_equal(result["low"], [0, 4, 15, 15])
    np.testing.assert_array_equal(result["total"], [-6, 8, 127, 127])


def test_feeds_may_cut_the_model() -> None:
    low, q = np.array([1, 2], np.uint8), np.array([-128, 3], np.int8)
    np.testing.assert_array_equal(simulator().run({"low": low, "q": q}, ["total"])["total"], [-127, 5])
    np.testing.assert_array_equal(simulator().run({"real": X[:1]})["negated"], [3.0])


def test_feeds_stay_as_they_are() -> None:
    q = np.array([-128, 3])
    result = simulator().run({"q": q}, ["q", "low"])
    result["q"][:] = 0
    np.testing.assert_array_equal(q, [-128, 3])


@pytest.mark.parametrize(
    ("feeds", "outputs", "named"),
    [
        ({"y": X}, None, "no tensor 'y', in net, known: low, negated, q, real, total, x"),
        ({"x": X}, ["totl"], "did you mean 'total'"),
        ({}, None, "'x' is missing"),
        ({"low": np.array([1])}, ["total"], "'x' is missing"),
    ],
)
def test_names_that_do_not_fit(feeds: dict[str, Array], outputs: list[str] | None, named: str) -> None:
    with pytest.raises(QuaintError, match=named) as refusal:
        simulator().run(feeds, outputs)
    assert refusal.value.code == "QC212"


@pytest.mark.parametrize("low", [np.array([16]), np.array([-1]), np.array([1.0])])
def test_feeds_that_the_chip_cannot_hold(low: Array) -> None:
    with pytest.raises(QuaintError, match="not uint4, in low") as refusal:
        simulator().run({"low": low, "q": np.array([1])}, ["total"])
    assert refusal.value.code == "QC213"


def test_a_kernel_that_leaves_its_range() -> None:
    with pytest.raises(AssertionError, match=r"'relu' \(clip\): 'low' holds values that are not uint4"):
        simulator(high=16).run({"x": X})


def test_tensors_are_freed_after_their_last_use() -> None:
    alive: list[int] = []

    class Tracked(np.ndarray[Any, np.dtype[Any]]):
        def __array_finalize__(self, _: object) -> None:
            alive.append(1)

        def __del__(self) -> None:
            alive.append(-1)

    most = []

    def step(_: Exact, x: Array) -> Array:
        most.append(sum(alive))
        made = np.empty(x.shape, np.float32).view(Tracked)
        made[...] = x
        return made

    layers = [Layer("step", [f"t{i}"], [f"t{i + 1}"]) for i in range(6)]
    chain = IntegerModel("chain", ("t0",), ("t6",), tuple(layers), {}, {}, "quaint.test")
    Reference(chain, {"step": step}).run({"t0": X})
    assert max(most) <= 2
