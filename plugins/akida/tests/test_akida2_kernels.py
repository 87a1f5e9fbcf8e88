"""Akida 2's kernels in every simulator against loops written from the documentation."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import akida_reference as truth
import numpy as np
from akida_layers import channels_first, pads, run
from hypothesis import given, settings
from hypothesis import strategies as st

import rational
from quaint.integer import IntegerModel, Layer
from quaint.layers.kernels import KERNELS
from quaint.numerics import IntType, QuantParams
from quaint.simulators.onnxruntime import OnnxRuntime
from quaint.simulators.reference import Reference

Array = np.ndarray[Any, np.dtype[Any]]

INT8, UINT8 = IntType(8, signed=True), IntType(8, signed=False)
#: Largest weights: the chip's own, and such as reach the 28-bit buffer and wrap 32 bits on small maps.
WEIGHTS = st.sampled_from([127, 1 << 19, 1 << 28])
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=40, deadline=None)


def fields(random: np.random.Generator, filters: int, draw: st.DataObject) -> dict[str, Any]:
    """Bias, activation and scale-out in the chip's terms; extremes among them."""
    made: dict[str, Any] = {
        "bias": random.integers(-128, 128, filters),
        "bias_shift": random.integers(0, draw.draw(st.sampled_from([6, 20, 32])), filters),
        "output_scales": random.integers(1, 256, filters),
        "output_shift": random.integers(-32, draw.draw(st.sampled_from([-10, 0, 8])), filters),
        "output_bits": draw.draw(st.sampled_from([4, 8, 28, 32])),
    }
    kind = draw.draw(st.sampled_from(["none", "relu", "bounded", "table"]))
    if kind == "relu":
        made |= {"max_value": np.full(filters, 127), "max_value_shift": np.full(filters, 31)}
    if kind == "bounded":
        made |= {"max_value": random.integers(0, 256, filters), "max_value_shift": random.integers(0, 31, filters)}
    if kind == "table":
        made |= {"activation_scales": random.integers(1, 256, filters)}
        made |= {"activation_shift": random.integers(-32, draw.draw(st.sampled_from([-10, 0])), filters)}
        made |= {"lut_values": random.integers(-8191, 8192, 2048)}
    return made


def kernel_arguments(given_fields: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Constants and attributes of a kernel; its shifts go to the right."""
    constants = {
        name: given_fields[name]
        for name in ("bias", "bias_shift", "max_value", "max_value_shift")
        if name in given_fields
    }
    constants |= {"output_scale": given_fields["output_scales"], "output_shift": -given_fields["output_shift"]}
    if "lut_values" in given_fields:
        constants |= {"activation_scale": given_fields["activation_scales"], "lut_values": given_fields["lut_values"]}
        constants |= {"activation_shift": -given_fields["activation_shift"]}
    return constants, {"output_bits": given_fields["output_bits"]}


def maps(random: np.random.Generator, shape: tuple[int, ...], dtype: IntType) -> list[Array]:
    """Two maps: random integers, and the largest ones."""
    return [random.integers(dtype.low, dtype.high + 1, shape), np.full(shape, dtype.high)]


@few
@given(seeds, WEIGHTS, st.data())
def test_conv2d(seed: int, largest: int, draw: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    kernel, stride = draw.draw(st.sampled_from([(1, 1), (1, 2), (3, 1), (3, 2), (5, 1)]))
    padding = draw.draw(st.sampled_from(["same", "same-upper"] if stride == 2 else ["same"]))
    depthwise, ending = draw.draw(st.booleans()), draw.draw(st.sampled_from(["none", "pool", "gap"]))
    size, channels = (draw.draw(st.integers(2, 5)), draw.draw(st.integers(2, 5))), 2
    weight = random.integers(-largest, largest + 1, (kernel, kernel, channels, 1 if depthwise else 3))
    made = fields(random, channels if depthwise else 3, draw) | {"buffer_bits": 28, "padding": padding}
    constants, attributes = kernel_arguments(made)
    if ending == "pool":
        made["pool"] = (2, draw.draw(st.sampled_from([1, 2])))
        pooled = [truth.window(n, kernel, stride, padding)[1] for n in size]
        attributes |= {
            "pool": [2, 2],
            "pool_strides": [made["pool"][1]] * 2,
            "pool_pads": pads(pooled, *made["pool"], "same"),
        }
    made["gap"] = attributes["gap"] = ending == "gap"
    attributes |= {
        "strides": [stride] * 2,
        "pads": pads(size, kernel, stride, padding),
        "group": channels if depthwise else 1,
    }
    onnx_weight = weight[::-1, ::-1].transpose(2, 3, 0, 1) if depthwise else weight[::-1, ::-1].transpose(3, 2, 0, 1)
    xs = maps(random, (*size, channels), INT8)
    result = run("conv2d", [channels_first(xs)], INT8, constants | {"weight": onnx_weight}, attributes)
    sums = [truth.convolve(x, weight, stride, padding, flipped=True, depthwise=depthwise) for x in xs]
    np.testing.assert_array_equal(result, channels_first([truth.finish2(acc, made) for acc in sums]))


@few
@given(seeds, WEIGHTS, st.data())
def test_input_conv2d(seed: int, largest: int, draw: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    kernel, stride = draw.draw(st.sampled_from([3, 4, 5])), draw.draw(st.integers(1, 3))
    padding = draw.draw(st.sampled_from(["same", "valid", *(["same-upper"] if stride == 2 and kernel != 4 else [])]))
    size, channels = (draw.draw(st.integers(5, 8)), draw.draw(st.integers(5, 8))), draw.draw(st.sampled_from([1, 3]))
    weight = random.integers(-largest, largest + 1, (kernel, kernel, channels, 2))
    border = random.integers(0, 256, channels)
    made = fields(random, 2, draw) | {"buffer_bits": 32, "padding": padding, "first": True}
    constants, attributes = kernel_arguments(made)
    pooled = [truth.window(n, kernel, stride, padding)[1] for n in size]
    if draw.draw(st.booleans()) and min(pooled) >= 3:
        made["pool"] = (draw.draw(st.sampled_from([2, 3])), 2)
        pool_pads = pads(pooled, *made["pool"], "valid" if padding == "valid" else "same")
        attributes |= {"pool": [made["pool"][0]] * 2, "pool_strides": [2, 2], "pool_pads": pool_pads}
    attributes |= {"strides": [stride] * 2, "pads": pads(size, kernel, stride, padding), "buffer_bits": 32}
    constants |= {"weight": weight.transpose(3, 2, 0, 1), "padding_value": border}
    xs = maps(random, (*size, channels), UINT8)
    result = run("conv2d", [channels_first(xs)], UINT8, constants, attributes)
    sums = [truth.convolve(x, weight, stride, padding, flipped=False, border=border) for x in xs]
    np.testing.assert_array_equal(result, channels_first([truth.finish2(acc, made) for acc in sums]))


@few
@given(seeds, WEIGHTS, st.data())
def test_conv2d_transpose(seed: int, largest: int, draw: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    kernel, depthwise = draw.draw(st.sampled_from([3, 4])), draw.draw(st.booleans())
    size, channels = (draw.draw(st.integers(1, 4)), draw.draw(st.integers(1, 4))), 2
    weight = random.integers(-largest, largest + 1, (kernel, kernel, channels, 1 if depthwise else 3))
    made = fields(random, channels if depthwise else 3, draw) | {"buffer_bits": 28}
    constants, attributes = kernel_arguments(made)
    begin = (kernel - 2) // 2
    attributes |= {
        "pads": [begin, begin, kernel - 2 - begin, kernel - 2 - begin],
        "group": channels if depthwise else 1,
    }
    xs = maps(random, (*size, channels), INT8)
    constants["weight"] = weight.transpose(2, 3, 0, 1)
    result = run("conv2d_transpose", [channels_first(xs)], INT8, constants, attributes)
    sums = [truth.transpose_convolve(x, weight, depthwise=depthwise) for x in xs]
    np.testing.assert_array_equal(result, channels_first([truth.finish2(acc, made) for acc in sums]))


@few
@given(seeds, WEIGHTS, st.data())
def test_dense1d(seed: int, largest: int, draw: st.DataObject) -> None:
    """The chip flattens rows, columns, channels; ONNX channels first. Sums do not wrap."""
    random = np.random.default_rng(seed)
    shape = (2, 3, 2)
    weight = random.integers(-largest, largest + 1, (*shape, 4))
    made = fields(random, 4, draw) | {"buffer_bits": 28, "wraps": False}
    constants, attributes = kernel_arguments(made)
    constants["weight"] = np.moveaxis(weight, 2, 0).reshape(-1, 4)
    xs = maps(random, shape, INT8)
    result = run("dense1d", [channels_first(xs)], INT8, constants, attributes)
    sums = [x.reshape(-1).astype(object) @ weight.reshape(-1, 4).astype(object) for x in xs]
    np.testing.assert_array_equal(result, np.stack([truth.finish2(acc, made) for acc in sums]))


@few
@given(seeds, WEIGHTS, st.data())
def test_buffer_temp_conv(seed: int, largest: int, draw: st.DataObject) -> None:
    """Frame after frame on the chip, an axis here; maps of frames, and frames without maps."""
    random = np.random.default_rng(seed)
    steps, depthwise, flat = draw.draw(st.integers(2, 10)), draw.draw(st.booleans()), draw.draw(st.booleans())
    frames, channels, filters = [random.integers(-128, 128, (1, 1 if flat else 2, 3)) for _ in range(6)], 3, 3
    frames[2][:] = 127
    weight = random.integers(
        -largest, largest + 1, (1, 1, steps, channels) if depthwise else (1, 1, steps * channels, 3)
    )
    made = fields(random, filters, draw) | {"buffer_bits": 32, "wraps": False}
    constants, attributes = kernel_arguments(made)
    if depthwise:
        constants["weight"], attributes["group"] = weight[0, 0].T[:, None, :, None, None], channels
    else:
        constants["weight"] = weight[0, 0].reshape(steps, channels, filters).transpose(2, 1, 0)[..., None, None]
    x = np.stack([np.moveaxis(frame, -1, 0) for frame in frames], axis=1)[None]
    if flat:
        x, constants["weight"] = x[..., 0, 0], constants["weight"][..., 0, 0]
    result = run("buffer_temp_conv", [x], INT8, constants, attributes)
    sums = truth.buffer_convolve(frames, weight, depthwise=depthwise)
    wanted = np.stack([np.moveaxis(truth.finish2(acc, made), -1, 0) for acc in sums], axis=1)[None]
    np.testing.assert_array_equal(result, wanted[..., 0, 0] if flat else wanted)


@few
@given(seeds, st.sampled_from([4, 8]), st.sampled_from([16, 32]))
def test_add(seed: int, output_bits: int, buffer_bits: int) -> None:
    random = np.random.default_rng(seed)
    a, b = maps(random, (2, 3, 4), INT8), maps(random, (2, 3, 4), INT8)
    shifts = {name: random.integers(0, 16, 4) for name in ("a_shift", "b_shift")}
    output_shift = random.integers(-20, 4, 4)
    attributes = {"output_bits": output_bits, "buffer_bits": buffer_bits}
    constants = shifts | {"output_shift": -output_shift}
    result = run("shifted_add", [channels_first(a), channels_first(b)], INT8, constants, attributes)
    sums = [truth.add2(x, y, **shifts, output_shift=output_shift, **attributes) for x, y in zip(a, b, strict=True)]
    np.testing.assert_array_equal(result, channels_first(sums))


def test_concatenate_copies() -> None:
    a, b = (channels_first(maps(np.random.default_rng(i), (2, 3, 2), INT8)) for i in range(2))
    np.testing.assert_array_equal(run("concatenate", [a, b], INT8, {}, {}), np.concatenate([a, b], axis=1))


@few
@given(seeds, st.booleans())
def test_quantizer_and_dequantizer(seed: int, signed: bool) -> None:
    """Float32 times the reciprocal step, half away from zero, then the zero point; NaN is the least integer."""
    random, dtype = np.random.default_rng(seed), IntType(8, signed=signed)
    factor, step = (random.uniform(0.1, 30, 2).astype(np.float32) for _ in range(2))
    x = np.concatenate([random.normal(0, 20, (1, 2, 4)), random.integers(-9, 9, (1, 2, 4)) / 2], axis=2).astype(
        np.float32
    )
    zero_point = np.zeros(2, np.int64) if signed else random.integers(0, 256, 2)
    attributes = {"low": dtype.low, "high": dtype.high, "rounding": "half_away", "divide": False, "axis": 1}
    layers = (
        Layer("input_quantizer", ("x",), ("q",), {"factor": factor, "zero_point": zero_point}, attributes),
        Layer("dequantizer", ("q",), ("y",), {"scale": step, "zero_point": np.zeros(2, np.int64)}, {"axis": 1}),
    )
    shapes = dict.fromkeys("xqy", (None, 2, 8))
    model = IntegerModel("edges", ("x",), ("y",), layers, {"q": QuantParams(1, dtype)}, shapes, "quaint.akida")
    x[0, 0, 0] = np.nan
    for simulator in (Reference(model, KERNELS), OnnxRuntime(model, KERNELS, threads=1)):
        result = simulator.run({"x": x}, ["q", "y"])
        for _, c, i in np.ndindex(*x.shape):
            wanted = dtype.low
            if not np.isnan(x[0, c, i]):
                product = rational.float32(Fraction(float(x[0, c, i])) * Fraction(float(factor[c])))
                wanted = rational.round_fraction(product, "half_away") + int(zero_point[c])
            assert result["q"][0, c, i] == min(max(wanted, dtype.low), dtype.high)
            assert result["y"][0, c, i] == np.float32(result["q"][0, c, i]) * step[c]
