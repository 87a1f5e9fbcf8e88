"""Real numbers: what NumPy computes, onnxruntime computes to the last bit, whatever its optimizers are allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import helper, numpy_helper

from quaint.numerics import Rounding
from quaint.simulators.exact import Exact
from quaint.simulators.tracing import Tracer
from quaint.simulators.tracing_graph import OPSET, Graph, Kind, Untraceable
from quaint.simulators.tracing_values import Interval, Real

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, np.dtype[Any]]

LEVELS = (ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
SPECIAL = [0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, 2.0**-149, -(2.0**-149), 2.0**-126, 3.4028234663852886e38]
property_test = settings(max_examples=40, derandomize=True, deadline=None, database=None)


def floats(shape: tuple[int, ...] = (2, 3, 5)) -> st.SearchStrategy[Array]:
    """Any float32 numbers, denormal and infinite ones and NaN included."""
    return hnp.arrays(np.float32, shape, elements=st.floats(width=32) | st.sampled_from(SPECIAL))


def moderate(shape: tuple[int, ...]) -> Array:
    """Numbers of so many magnitudes that another order of additions shows."""
    rng = np.random.default_rng(len(shape))
    return (rng.normal(size=shape) * np.exp2(rng.integers(-12, 12, shape))).astype(np.float32)


def bits(array: Array) -> Array:
    """The bits of each number; one pattern for NaN."""
    assert array.dtype.kind == "f"
    return np.where(np.isnan(array), np.nan, array).astype(array.dtype).view(f"i{array.itemsize}")


def check(kernel: Callable[..., Any], *arrays: Array) -> None:
    """``kernel`` traced gives the bits of ``Exact``, at every level of optimization."""
    expected = kernel(Exact(), *arrays)
    graph = Graph()
    tracer = Tracer(graph, fast=True)
    result = kernel(tracer, *(_given(tracer, f"x{i}", array) for i, array in enumerate(arrays)))
    assert tuple(result.shape[1:]) == expected.shape[1:]
    real = isinstance(result, Real)
    name = result.name if real else graph.cast(tracer.tensor(result).name, Kind.INT64)
    for level in LEVELS:
        made = _run(graph, name, result.kind if real else Kind.INT64, arrays, level)
        assert made.dtype == expected.dtype
        if real:
            np.testing.assert_array_equal(bits(made), bits(expected))
        else:
            np.testing.assert_array_equal(made, expected)


def _given(tracer: Tracer, name: str, array: Array) -> Any:
    shape = (None, *array.shape[1:])
    if array.dtype.kind == "f":
        return Real(shape, name, Kind(helper.np_dtype_to_tensor_dtype(array.dtype)))
    interval = Interval.of(-(1 << 15), (1 << 15) - 1)
    return tracer.value(tracer.graph.cast(name, Kind.FLOAT32), shape, interval, Kind.FLOAT32)


def _run(graph: Graph, name: str, kind: Kind, arrays: tuple[Array, ...], level: Any) -> Array:
    info = helper.make_tensor_value_info
    kinds = [helper.np_dtype_to_tensor_dtype(array.dtype) for array in arrays]
    proto = helper.make_graph(
        graph.nodes,
        "traced",
        [info(f"x{i}", kinds[i], [None, *array.shape[1:]]) for i, array in enumerate(arrays)],
        [info(name, kind, None)],
        [numpy_helper.from_array(array, key) for key, array in graph.constants.items()],
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = ort.InferenceSession(model.SerializeToString(), options)
    return np.asarray(session.run(None, {f"x{i}": array for i, array in enumerate(arrays)})[0])


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Mod"])
@property_test
@given(floats(), floats((2, 1, 5)))
def test_binary_operators(operator: str, x: Array, y: Array) -> None:
    if operator in {"Max", "Min"}:
        x = x + np.float32(0)  # which of two zeros they give is open: here all have one sign
        y = y + np.float32(0)
    check(lambda k, x, y: k.real(operator, x, y), x, y)
    check(lambda k, x: k.real(operator, x, np.float32(3)), x)
    check(lambda k, x: k.real(operator, np.float32(3), x), x)


@pytest.mark.parametrize("operator", ["Sqrt", "Abs", "Neg"])
@property_test
@given(floats())
def test_unary_operators(operator: str, x: Array) -> None:
    check(lambda k, x: k.real(operator, x), x)
    check(lambda k, x: k.to_real(k.real(operator, k.to_real(x, double=True))), x)


@pytest.mark.parametrize("operator", ["Add", "Mul", "Max", "Min"])
@pytest.mark.parametrize("axes", [[1], [2], [1, 2], [3], [-1, 1]])
def test_one_after_another(operator: str, axes: list[int]) -> None:
    check(lambda k, x: k.accumulate(operator, x, axes), moderate((2, 5, 4, 300)))
    check(lambda k, x: k.accumulate(operator, k.to_real(x, double=True), axes), moderate((2, 5, 4, 3)))


@property_test
@given(floats((2, 9)))
def test_one_after_another_with_special_numbers(x: Array) -> None:
    check(lambda k, x: k.accumulate("Add", x, [1]), x)
    check(lambda k, x: k.accumulate("Mul", x, [1]), x)


def test_order_matters_and_is_that_of_a_loop() -> None:
    """2**24 + 1 is not a float32: ones that come after it are lost, one by one."""
    x = np.array([[2.0**24] + [1.0] * 64], np.float32)
    check(lambda k, x: k.accumulate("Add", x, [1]), x)
    np.testing.assert_array_equal(Exact().accumulate("Add", x, [1]), [[2.0**24]])


@property_test
@given(floats(), st.sampled_from(Rounding))
def test_to_integer(x: Array, rounding: Rounding) -> None:
    check(lambda k, x: k.to_integer(x, -128, 127, rounding), x)
    check(lambda k, x: k.to_integer(k.to_real(x, double=True), -32768, 32767, rounding), x)


def test_to_integer_saturates_and_nan_is_zero() -> None:
    x = np.array([0.5, 1.5, -1e30, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(Exact().to_integer(x, -128, 127, Rounding.HALF_EVEN), [0, 2, -128, 127, 0])


@property_test
@given(hnp.arrays(np.int64, (2, 3, 5), elements=st.integers(-(1 << 15), (1 << 15) - 1)), floats())
def test_integers_among_reals(x: Array, y: Array) -> None:
    check(lambda k, x, y: k.real("Mul", k.to_real(x), y), x, y)
    check(lambda k, x: k.to_real(k.multiply(x, x)), x)
    check(lambda k, x: k.real("Div", k.to_real(np.asarray([[[7]]])), k.to_real(x)), x)
    table = np.sin(np.arange(1 << 16)).astype(np.float32)
    check(lambda k, x: k.lookup(x, table, -(1 << 15)), x)
    check(lambda k, x: k.lookup(x, table.astype(np.float64), -(1 << 15)), x)


def test_zeros_have_no_sign() -> None:
    """A rounding or a product of integers may leave -0, and 1 / -0 is not 1 / 0."""
    x = np.array([[-1, 0, 1]])
    check(lambda k, x: k.real("Div", np.float32(1), k.to_real(k.multiply(x, -1))), x)
    check(lambda k, x: k.real("Div", np.float32(1), k.to_real(k.shift_right(x, 2, Rounding.HALF_EVEN))), x)


def test_an_inverse_is_not_a_quotient() -> None:
    """What onnxruntime would make of 1 / x * y: y / x, which has one rounding less."""
    x, y = moderate((7, 50)), moderate((7, 50))[:, ::-1].copy()
    inverse = np.float32(1) / x * y
    assert (inverse != y / x).any()
    check(lambda k, x, y: k.real("Mul", k.real("Div", np.float32(1), x), y), x, y)


def test_layers_that_optimizers_know_stay_what_they_are() -> None:
    def softmax(k: Any, x: Any) -> Any:
        return k.real("Div", x, k.accumulate("Add", x, [2]))

    def layer_norm(k: Any, x: Any) -> Any:
        size = np.float32(40)
        centred = k.real("Sub", x, k.real("Div", k.accumulate("Add", x, [2]), size))
        square = k.accumulate("Add", k.real("Mul", centred, centred), [2])
        root = k.real("Sqrt", k.real("Add", k.real("Div", square, size), np.float32(1e-5)))
        scaled = k.real("Mul", k.real("Div", centred, root), np.float32([1.5] * 40))
        return k.real("Add", scaled, np.float32([0.25] * 40))

    for kernel in (softmax, layer_norm):
        check(kernel, moderate((3, 8, 40)))


def test_movement_of_reals() -> None:
    x = moderate((2, 4, 6))
    check(lambda k, x: k.transpose(x, [0, 2, 1]), x)
    check(lambda k, x: k.reshape(x, [0, -1]), x)
    check(lambda k, x: k.gather(x, [3, 1, 1], 2), x)
    check(lambda k, x: k.concat([x, k.real("Neg", x)], 1), x)


def test_what_is_real() -> None:
    tracer = Tracer(Graph(), fast=False)
    for arithmetic, real, integer in (
        (Exact(), np.zeros(1, np.float32), np.zeros(1, np.int64)),
        (tracer, Real((1,), "x"), tracer.value("i", (1,), Interval.of(0, 1), Kind.FLOAT32)),
    ):
        assert arithmetic.is_real(real)  # type: ignore[attr-defined]
        assert not arithmetic.is_real(integer)  # type: ignore[attr-defined]


def test_refusals() -> None:
    tracer = Tracer(Graph(), fast=False)
    with pytest.raises(Untraceable, match="unknown length"):
        tracer.accumulate("Add", Real((None, 3), "x"), [0])
    with pytest.raises(TypeError, match="float64 among"):
        tracer.real("Add", Real((None, 3), "x"), np.float64(1))
