"""The onnxruntime simulator gives the reference's integers, for every kernel and for networks of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layer_models import FAMILIES, INT8, INT16, feeds_for, layer_model, numbers, quantizers, requantization, truth
from quaint.errors import QuaintError
from quaint.integer import IntegerModel, Layer
from quaint.layers.kernels import KERNELS
from quaint.numerics import IntType, QuantParams
from quaint.simulators.onnxruntime import OnnxRuntime, Segment, divide
from quaint.simulators.reference import Reference

Array = np.ndarray[Any, np.dtype[Any]]


def assert_same(result: dict[str, Array], expected: dict[str, Array]) -> None:
    assert list(result) == list(expected)
    for name, value in expected.items():
        assert result[name].dtype == value.dtype
        np.testing.assert_array_equal(result[name], value, err_msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kernel_equals_the_reference(family: str) -> None:
    @settings(max_examples=120, derandomize=True, deadline=None, database=None)
    @given(FAMILIES[family](), st.integers(0, 1 << 20))
    def check(model: IntegerModel, seed: int) -> None:
        feeds = feeds_for(model, seed)
        expected = truth(model, feeds)
        if expected is not None:
            assert_same(OnnxRuntime(model, KERNELS, threads=1).run(feeds), expected)

    check()


@settings(max_examples=80, derandomize=True, deadline=None, database=None)
@given(quantizers())
def test_input_quantizer_equals_the_reference(case: tuple[IntegerModel, dict[str, Array]]) -> None:
    model, feeds = case
    assert_same(OnnxRuntime(model, KERNELS, threads=1).run(feeds), Reference(model, KERNELS).run(feeds))


@st.composite
def networks(draw: st.DrawFn) -> IntegerModel:
    """Convolutions, sums, pools on one size of map, with tensors that several layers read."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    channels = draw(st.sampled_from([4, 8, 6]))
    dtypes, layers = {"x": draw(st.sampled_from([INT8, IntType(8, signed=False), INT16]))}, []
    for i in range(draw(st.integers(3, 8))):
        source, other = (draw(st.sampled_from(list(dtypes)[-4:])) for _ in range(2))
        output = draw(st.sampled_from([INT8, INT8, IntType(8, signed=False), INT16]))
        op = draw(st.sampled_from(["conv", "depthwise", "add", "multiply", "max_pool", "clip", "requantize"]))
        largest = float(dtypes[source].high)
        inputs: tuple[str, ...] = (source,)
        constants: dict[str, Array] = {}
        attributes: dict[str, Any] = {}
        if op in {"conv", "depthwise"}:
            group = channels if op == "depthwise" else 1
            weight = numbers(rng, INT8, (channels, channels // group, 3, 3))
            largest *= float(np.abs(weight.astype(np.int64)).sum()) / channels
            constants = {"weight": weight, "bias": rng.integers(-900, 900, channels)}
            attributes = {"strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1], "group": group}
            attributes["input_zero_point"] = draw(st.sampled_from([0, 0, 2]))
        elif op in {"add", "multiply"}:
            inputs = (source, other)
            factor = float(dtypes[other].high)
            largest = largest * factor if op == "multiply" else largest + factor
            attributes = {"x_multiplier": draw(st.sampled_from([1, 8, 5]))} if op == "add" else {}
        elif op == "max_pool":
            window = {"kernel_shape": [3, 3], "strides": [1, 1], "pads": [1] * 4, "dilations": [1, 1]}
            attributes, output = window | {"ceil_mode": False}, dtypes[source]
        elif op == "clip":
            attributes, output = {"low": 0, "high": output.high}, dtypes[source]
            attributes["high"] = dtypes[source].high // 2
        if op not in {"max_pool", "clip"}:
            more, out = requantization(draw, largest, channels, output)
            constants, attributes = constants | more, attributes | out
        layers.append(Layer(op.replace("depthwise", "conv"), inputs, (f"t{i}",), constants, attributes, f"layer{i}"))
        dtypes[f"t{i}"] = output
    tensors = {name: QuantParams(np.asarray(1.0), dtype) for name, dtype in dtypes.items()}
    last = layers[-1].outputs
    return IntegerModel(
        "net", ("x",), last, tuple(layers), tensors, dict.fromkeys(dtypes, (None, channels, 5, 5)), "quaint.t"
    )


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(networks(), st.integers(0, 1 << 20))
def test_networks_equal_the_reference_at_every_tensor(model: IntegerModel, seed: int) -> None:
    feeds = feeds_for(model, seed)
    everything = replace(model, outputs=tuple(layer.outputs[0] for layer in model.layers))
    expected = truth(everything, feeds)
    if expected is not None:
        last = {name: expected[name] for name in model.outputs}
        assert_same(OnnxRuntime(model, KERNELS, threads=1).run(feeds), last)
        assert_same(OnnxRuntime(model, KERNELS, threads=1).run(feeds, everything.outputs), expected)
        assert len(divide(model, KERNELS)) == 1


FLOAT = onnx.parser.parse_model(
    '<ir_version: 8, opset_import: ["": 17]> g (float[N,4] a) => (float[N,4] b) { b = Neg(a) }'
)


def edges() -> IntegerModel:
    """real -> q -> low (clip) -> total (low + q) -> real -> negated, by a float model."""
    layers = (
        Layer(
            "input_quantizer",
            ("x",),
            ("q",),
            {"factor": np.asarray(2, np.float32), "zero_point": np.asarray(0)},
            {"low": -128, "high": 127, "rounding": "half_even"},
        ),
        Layer("clip", ("q",), ("low",), attributes={"low": 0, "high": 15}),
        Layer("add", ("low", "q"), ("total",), attributes={"low": -128, "high": 127}),
        Layer(
            "dequantizer", ("total",), ("real",), {"scale": np.asarray(0.5, np.float32), "zero_point": np.asarray(0)}
        ),
        Layer("host", ("real",), ("negated",), {"model": np.frombuffer(FLOAT.SerializeToString(), np.uint8)}),
    )
    tensors = {name: QuantParams(np.asarray(0.5), INT8) for name in ("q", "low", "total")}
    shapes = dict.fromkeys(("x", "q", "low", "total", "real", "negated"), (None, 4))
    return IntegerModel("net", ("x",), ("negated",), layers, tensors, shapes, "quaint.test")


def test_float_models_run_on_the_reference_and_the_rest_in_one_graph() -> None:
    steps = divide(edges(), KERNELS)
    assert isinstance(steps[0], Segment)
    assert getattr(steps[1], "op", None) == "host"
    x = np.array([[-3.0, 2.0, 60.0, 1000.0]], np.float32)
    assert_same(OnnxRuntime(edges(), KERNELS).run({"x": x}), Reference(edges(), KERNELS).run({"x": x}))


def test_any_tensors_in_and_out() -> None:
    runner = OnnxRuntime(edges(), KERNELS, threads=1)
    q, low = np.array([[1, 2, 3, 4]], np.int8), np.array([[5, 6, 7, 8]], np.int64)
    feeds: dict[str, Array] = {"q": q, "low": low}
    wanted = ["real", "total", "q", "low"]
    assert_same(runner.run(feeds, wanted), Reference(edges(), KERNELS).run(feeds, wanted))


@pytest.mark.parametrize(
    ("feeds", "code"),
    [({"nothing": np.zeros((1, 4))}, "QC212"), ({}, "QC212"), ({"q": np.full((1, 4), 200)}, "QC213")],
)
def test_bad_feeds_are_refused(feeds: dict[str, Array], code: str) -> None:
    with pytest.raises(QuaintError) as caught:
        OnnxRuntime(edges(), KERNELS).run(feeds, ["total"])
    assert caught.value.code == code


def test_a_layer_that_is_not_proven_falls_back() -> None:
    """Without a clip the sum may leave int8: the reference watches that it does not."""
    kernels = {"sum": lambda k, x, y: k.add(x, y)}
    model = layer_model("sum", [(INT8, (None, 3)), (INT8, (None, 3))], INT8, (None, 3))
    assert list(divide(model, kernels)) == list(model.layers)
    small = np.full((1, 3), 60, np.int8)
    np.testing.assert_array_equal(OnnxRuntime(model, kernels).run({"x0": small, "x1": small})["y"], [[120] * 3])
    with pytest.raises(AssertionError, match="not int8"):
        OnnxRuntime(model, kernels).run({"x0": small, "x1": small + np.int8(20)})


def test_any_batch() -> None:
    model = layer_model("clip", [(INT8, (None, 4, 3, 3))], INT8, (None, 4, 3, 3), attributes={"low": 0, "high": 9})
    runner = OnnxRuntime(model, KERNELS, threads=1)
    for batch in (1, 3, 8):
        x = numbers(np.random.default_rng(batch), INT8, (batch, 4, 3, 3))
        np.testing.assert_array_equal(runner.run({"x0": x})["y"], np.clip(x, 0, 9))
