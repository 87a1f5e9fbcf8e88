"""Akida 1's kernels in every simulator against loops written from the documentation."""

from __future__ import annotations

from typing import Any

import akida_reference as truth
import numpy as np
from akida_layers import channels_first, pads, run
from hypothesis import given, settings
from hypothesis import strategies as st

from quaint.numerics import IntType

Array = np.ndarray[Any, np.dtype[Any]]

UINT4, UINT8 = IntType(4, signed=False), IntType(8, signed=False)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=40, deadline=None)


def ending(
    random: np.random.Generator, filters: int, draw: st.DataObject, kinds: list[str]
) -> tuple[dict[str, Any], ...]:
    """Threshold, step and pooling: the chip's fields, and the kernel's constants and attributes."""
    made: dict[str, Any] = {"gap": False}
    constants: dict[str, Any] = {"threshold": random.integers(-(1 << 12), 1 << 12, filters)}
    attributes: dict[str, Any] = {}
    made["threshold"] = constants["threshold"]
    if draw.draw(st.booleans()):
        bits = draw.draw(st.sampled_from([1, 2, 4]))
        made |= {"act_bits": bits, "act_step": random.integers(1, draw.draw(st.sampled_from([40, 1 << 14])), filters)}
        constants["step"] = made["act_step"] << (4 - bits)
        attributes["activation_bits"] = bits
    kind = draw.draw(st.sampled_from(kinds))
    if kind == "pool":
        made["pool"] = (2, draw.draw(st.sampled_from([1, 2])))
    if kind == "gap":
        made["gap"] = attributes["gap"] = True
    return made, constants, attributes


def pooling(made: dict[str, Any], size: list[int]) -> dict[str, Any]:
    if "pool" not in made:
        return {}
    edge, stride = made["pool"]
    same = "valid" if made["padding"] == "valid" else "same"
    return {"pool": [edge] * 2, "pool_strides": [stride] * 2, "pool_pads": pads(size, edge, stride, same)}


def maps(random: np.random.Generator, shape: tuple[int, ...], dtype: IntType) -> list[Array]:
    return [random.integers(0, dtype.high + 1, shape), np.full(shape, dtype.high)]


@few
@given(seeds, st.sampled_from([1, 7, 1 << 14]), st.data())
def test_convolutional(seed: int, largest: int, draw: st.DataObject) -> None:
    """Large weights bring the sums over the map to 20 bits."""
    random = np.random.default_rng(seed)
    kernel, stride = draw.draw(st.sampled_from([(1, 1), (3, 1), (3, 2), (5, 1)]))
    size = [draw.draw(st.integers(2, 5)), draw.draw(st.integers(2, 5))]
    weight = random.integers(-largest, largest + 1, (kernel, kernel, 2, 3))
    made, constants, attributes = ending(random, 3, draw, ["none", "pool", "gap"])
    made["padding"] = "same"
    attributes |= pooling(made, [-(-n // stride) for n in size])
    attributes |= {"strides": [stride] * 2, "pads": pads(size, kernel, stride, "same")}
    constants["weight"] = weight[::-1, ::-1].transpose(3, 2, 0, 1)
    xs = maps(random, (*size, 2), UINT4)
    result = run("convolutional", [channels_first(xs)], UINT4, constants, attributes)
    sums = [truth.convolve(x, weight, stride, "same", flipped=True) for x in xs]
    np.testing.assert_array_equal(result, channels_first([truth.finish1(total, made) for total in sums]))


@few
@given(seeds, st.data())
def test_input_convolutional(seed: int, draw: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    kernel, stride = draw.draw(st.sampled_from([3, 5])), draw.draw(st.integers(1, 3))
    padding, channels = draw.draw(st.sampled_from(["same", "valid"])), draw.draw(st.sampled_from([1, 3]))
    size = [draw.draw(st.integers(6, 8)), draw.draw(st.integers(6, 8))]
    weight = random.integers(-128, 128, (kernel, kernel, channels, 2))
    made, constants, attributes = ending(random, 2, draw, ["none"])
    pooled = [truth.window(n, kernel, stride, padding)[1] for n in size]
    made["padding"] = padding
    if draw.draw(st.booleans()) and min(pooled) >= 2:
        made["pool"] = (2, 2)
    border = int(random.integers(0, 256))
    attributes |= pooling(made, pooled) | {"padding_value": border}
    attributes |= {"strides": [stride] * 2, "pads": pads(size, kernel, stride, padding)}
    constants["weight"] = weight.transpose(3, 2, 0, 1)
    xs = maps(random, (*size, channels), UINT8)
    result = run("convolutional", [channels_first(xs)], UINT8, constants, attributes)
    sums = [truth.convolve(x, weight, stride, padding, flipped=False, border=[border] * channels) for x in xs]
    np.testing.assert_array_equal(result, channels_first([truth.finish1(total, made) for total in sums]))


@few
@given(seeds, st.sampled_from([1, 7, 1 << 10]), st.data())
def test_separable_convolutional(seed: int, largest: int, draw: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    kernel, stride = draw.draw(st.sampled_from([(3, 1), (3, 2), (5, 1)]))
    size = [draw.draw(st.integers(2, 5)), draw.draw(st.integers(2, 5))]
    weight = random.integers(-largest, largest + 1, (kernel, kernel, 2, 1))
    pointwise = random.integers(-largest, largest + 1, (1, 1, 2, 3))
    made, constants, attributes = ending(random, 3, draw, ["none", "pool", "gap"])
    made["padding"] = "same"
    attributes |= pooling(made, [-(-n // stride) for n in size])
    attributes |= {"strides": [stride] * 2, "pads": pads(size, kernel, stride, "same")}
    constants |= {"weight": weight[::-1, ::-1].transpose(2, 3, 0, 1), "pointwise": pointwise.transpose(3, 2, 0, 1)}
    xs = maps(random, (*size, 2), UINT4)
    result = run("separable_convolutional", [channels_first(xs)], UINT4, constants, attributes)
    halves = [truth.convolve(x, weight, stride, "same", flipped=True, depthwise=True) for x in xs]
    sums = [truth.convolve(half, pointwise, 1, "same", flipped=True) for half in halves]
    np.testing.assert_array_equal(result, channels_first([truth.finish1(total, made) for total in sums]))


@few
@given(seeds, st.sampled_from([1, 7, 1 << 13]), st.data())
def test_fully_connected(seed: int, largest: int, draw: st.DataObject) -> None:
    """The sum saturates at 20 bits; the chip flattens channels, columns, rows."""
    random = np.random.default_rng(seed)
    weight = random.integers(-largest, largest + 1, (2, 3, 2, 4))  # channels, columns, rows, units
    made, constants, attributes = ending(random, 4, draw, ["none"])
    constants["weight"] = weight.transpose(0, 2, 1, 3).reshape(-1, 4)
    xs = maps(random, (2, 3, 2), UINT4)
    result = run("fully_connected", [channels_first(xs)], UINT4, constants, attributes)
    for x, row in zip(xs, result, strict=True):
        flat = x.transpose(2, 1, 0).reshape(-1).astype(object)
        potential = np.array(
            [truth.sat(int(total), 20) for total in flat @ weight.reshape(-1, 4).astype(object)], object
        )
        np.testing.assert_array_equal(row, truth.finish1(potential.reshape(1, 1, -1), made).reshape(-1))
