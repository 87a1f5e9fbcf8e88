"""Nodes as layers, where golden files do not reach: against ONNX's own definitions, channel last, in both simulators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from espdl_files import constant, file, run, variable

from quaint.errors import QuaintError
from quaint_espdl.file.elements import DataType
from quaint_espdl.reading.chips import by_name
from quaint_espdl.reading.reader import integer_model

RANDOM = np.random.default_rng(0)
X = RANDOM.integers(-128, 128, (1, 4, 6, 8), np.int8)


def moved(op_type: str, shape: tuple[int, ...], *constants: Any, x: Any = X, **attributes: Any) -> Any:
    """What an operator makes of ``x``; the constants are its other inputs."""
    others = [constant(f"c{i}", np.asarray(array)) for i, array in enumerate(constants)]
    return run(file(op_type, [variable("x", x.shape), *others], [variable("y", shape)], **attributes), x)


def test_slices() -> None:
    made = moved("Slice", (1, 2, 6, 3), [3, -1], [0, -8], [1, 3], [-2, -3])
    np.testing.assert_array_equal(made, X[:, 3:0:-2, :, -1:-8:-3])
    np.testing.assert_array_equal(moved("Slice", (1, 1, 6, 8), [1], [2], [1]), X[:, 1:2])


def test_sizes_after_a_transpose_are_worked_out() -> None:
    made = moved("Transpose", (1, 6, 8, 4), perm=(0, 3, 1, 2))  # the file says otherwise
    np.testing.assert_array_equal(made, X.transpose(0, 3, 1, 2))
    model = file("Transpose", [variable("x", X.shape)], [variable("y", (1, 6, 8, 4))], perm=(0, 3, 1, 2))
    assert integer_model(model, by_name("esp32p4"), "net").shapes["y"] == (1, 8, 4, 6)


def test_gather() -> None:
    np.testing.assert_array_equal(moved("Gather", (1, 2, 2, 6, 8), [[0, -1], [2, 2]], axis=1), X[:, [[0, 3], [2, 2]]])


@pytest.mark.parametrize("mode", ["edge", "reflect", "constant"])
def test_pads(mode: str) -> None:
    values = [np.int8(7)] if mode == "constant" else []
    made = moved("Pad", (1, 7, 6, 9), [0, 1, 0, 0, 0, 2, 0, 1], *values, mode=mode)
    given = {"constant_values": 7} if values else {}
    np.testing.assert_array_equal(made, np.pad(X, [(0, 0), (1, 2), (0, 0), (0, 1)], mode, **given))  # type: ignore[call-overload]


def test_blocks_there_and_back() -> None:
    """ONNX's depth to space, channel last."""
    made = moved("DepthToSpace", (1, 8, 12, 2), blocksize=2, mode="DCR")
    np.testing.assert_array_equal(made[0, 1, 2], X[0, 0, 1, 4:6])
    np.testing.assert_array_equal(
        moved("DepthToSpace", (1, 8, 12, 2), blocksize=2, mode="CRD")[0, 1, 2], X[0, 0, 1, 2::4]
    )
    np.testing.assert_array_equal(
        moved("SpaceToDepth", (1, 2, 3, 32), blocksize=2)[0, 0, 1, :4], X[0, :2, 2:4, 0].ravel()
    )


def test_blocks_that_the_runtime_puts_elsewhere() -> None:
    """Its division by the block's width is right for as many channels only."""
    x, y = variable("x", (1, 2, 2, 12)), variable("y", (1, 4, 4, 3))
    with pytest.raises(QuaintError, match=r"QT310.*3 channels from blocks of 2"):
        integer_model(file("DepthToSpace", [x], [y], blocksize=2, mode="DCR"), by_name("esp32p4"), "net")


def test_constants_on_either_side() -> None:
    c = RANDOM.integers(-128, 128, 8, np.int8)
    x, y, fixed = variable("x", X.shape), variable("y", X.shape), constant("c", c)
    wide = X.astype(np.int64)
    for op_type, truth in (
        ("Sub", c - wide),
        ("Max", np.maximum(wide, c)),
        ("Min", np.minimum(wide, c)),
        ("Add", wide + c),
    ):
        np.testing.assert_array_equal(run(file(op_type, [fixed, x], [y]), X), truth.clip(-128, 127))
    flag = variable("y", X.shape, 0, DataType.BOOL)
    np.testing.assert_array_equal(run(file("Greater", [fixed, x], [flag]), X), c > wide)
    np.testing.assert_array_equal(run(file("LessOrEqual", [x, fixed], [flag]), X), wide <= c)


@pytest.mark.parametrize(("target", "result"), [("esp32p4", [-2, 2, 4]), ("esp32s3", [-2, 3, 4])])
def test_chips_round_differently(target: str, result: list[int]) -> None:
    x, y = variable("x", (3,), -5), variable("y", (3,), -4)
    made = run(file("RequantizeLinear", [x], [y], target=target), np.array([-5, 5, 8], np.int8))
    np.testing.assert_array_equal(made, result)


def test_activations_without_a_table() -> None:
    x, y = variable("x", (256,), -4), variable("y", (256,), -7)
    wide = np.arange(-128, 128)
    integers = wide.astype(np.int8)
    made = run(file("Sigmoid", [x], [y]), integers)
    np.testing.assert_array_equal(made, np.rint(128 / (1 + np.exp(-wide / 16))).clip(-128, 127))
    limits = (constant("low", np.int8(-16), -4), constant("high", np.int8(32), -4))
    clipped = run(file("Clip", [x, *limits], [y]), integers)
    np.testing.assert_array_equal(clipped, (8 * wide.clip(-16, 32)).clip(-128, 127))
    np.testing.assert_array_equal(run(file("Relu", [x], [y]), integers), (8 * wide.clip(0)).clip(0, 127))


def test_tables() -> None:
    x, y = variable("x", (3,), -4), variable("y", (3,), -4)
    table = constant("t", np.arange(-128, 128, dtype=np.int8)[::-1], -4)
    given = np.array([-128, 0, 127], np.int8)
    np.testing.assert_array_equal(run(file("Gelu", [x], [y], table, lut="t"), given), [127, -1, -128])


def test_a_table_that_clips() -> None:
    x, y = variable("x", (3,), -4), variable("y", (3,), -4)
    model = file("Clip", [x], [y], constant("t", np.arange(-128, 128).clip(0, 96).astype(np.int8), -4), lut="t")
    np.testing.assert_array_equal(run(model, np.array([-128, 5, 127], np.int8)), [0, 5, 96])
    layers = integer_model(model, by_name("esp32p4"), "net").integer_layers
    assert [(layer.op, layer.attributes) for layer in layers] == [("clip", {"low": 0, "high": 96})]


def test_in_16_bits_only_lut_nodes_have_tables() -> None:
    x, y = variable("x", (3,), -8, DataType.INT16), variable("y", (3,), -8, DataType.INT16)
    zeros = constant("t", np.zeros(257, np.int16), -8)
    given = np.array([0, 256, 1024], np.int16)
    np.testing.assert_array_equal(run(file("Sqrt", [x], [y], zeros, lut="t"), given), [0, 256, 512])
    np.testing.assert_array_equal(run(file("LUT", [x], [y], zeros, lut="t"), given), [0, 0, 0])


@pytest.mark.parametrize(("exponent", "truth"), [(-2, [-32, 0, 1, 31]), (-5, [0, 2, 10, -8])])
def test_nearest_entries_in_another_scale(exponent: int, truth: list[int]) -> None:
    """Rounded to the nearest, ties to even; what is too large wraps: the runtime's C code does not saturate."""
    x = np.array([-128, 1, 5, 124], np.int8).reshape(1, 4, 1)
    options = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    edges = [variable("x", x.shape, -4), constant("r", np.float32([])), constant("s", np.float32([1, 1, 2]))]
    made = run(file("Resize", edges, [variable("y", (1, 8, 1), exponent)], **options), x)
    np.testing.assert_array_equal(made.ravel(), np.repeat(truth, 2))


@pytest.mark.parametrize("place", ["half_pixel", "align_corners"])
def test_linear_interpolation(place: str) -> None:
    x = np.array([[0, 40], [80, 120]], np.int8).reshape(1, 2, 2, 1)
    options = {"mode": "linear", "coordinate_transformation_mode": place}
    made = moved("Resize", (1, 4, 4, 1), [], np.float32([1, 1, 2, 2]), x=x, **options)[0, ..., 0]
    steps = np.array([0, 0.25, 0.75, 1]) if place == "half_pixel" else np.arange(4) / 3
    np.testing.assert_array_equal(made, np.rint(80 * steps[:, None] + 40 * steps))


@pytest.mark.parametrize("counted", [0, 1])
def test_averages_count_the_border_whatever_the_file_says(counted: int) -> None:
    window = {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1), "strides": (1, 1), "count_include_pad": counted}
    ones = np.full((1, 4, 6, 8), 9, np.int8)
    averages = moved("AveragePool", X.shape, x=ones, **window)
    assert averages[0, 0, 0, 0] == 4
    assert averages[0, 1, 1, 0] == 9


def test_a_computed_right_operand_is_packed_unless_the_file_says_otherwise() -> None:
    x = np.array([[1, 2]], np.int8)
    y = np.array([[1, 2, 3], [4, 5, 6]], np.int8)
    operands = [variable("x", (1, 2), 0), variable("y", (2, 3), 0)]
    for attributes, right in (
        ({"input1_layout": "native_kn"}, y),
        ({"input1_layout": "packed"}, y.reshape(3, 2).T),
        ({}, y.reshape(3, 2).T),
    ):
        model = file("MatMul", operands, [variable("z", (1, 3), 0)], **attributes)
        np.testing.assert_array_equal(run(model, x, y), x @ right)


def test_floats_through_and_back() -> None:
    x, y = variable("x", (3,), 0, DataType.FLOAT), variable("y", (3,), -4)
    made = run(file("QuantizeLinear", [x], [y]), np.float32([-100, 0.1, 1.03125]))
    np.testing.assert_array_equal(made, [-128, 2, 16])
    real = variable("y", (3,), 0, DataType.FLOAT)
    made = run(file("DequantizeLinear", [variable("x", (3,), -4)], [real]), np.int8([-128, 2, 16]))
    np.testing.assert_array_equal(made, np.float32([-8, 0.125, 1]))
    made = run(file("Mul", [x, constant("c", np.float32([2]))], [real]), np.float32([1, 2, 3]))
    np.testing.assert_array_equal(made, np.float32([2, 4, 6]))
    made = run(
        file("Reshape", [x, constant("c", np.array([3, 1]))], [variable("y", (3, 1), 0, DataType.FLOAT)]),
        np.float32([1, 2, 3]),
    )
    assert made.shape == (3, 1)


def test_means_of_many_numbers_are_the_runtimes() -> None:
    """More than float32 proves to round alike: two float32 operations, one after the other."""
    x = RANDOM.integers(-(1 << 15), 1 << 15, (1, 1200, 2)).astype(np.int16)
    source, out = variable("x", x.shape, -8, DataType.INT16), variable("y", (1, 2), -10, DataType.INT16)
    made = run(file("ReduceMean", [source, constant("axes", np.array([1]))], [out], keepdims=0), x)
    np.testing.assert_array_equal(made, np.rint(np.float32(x.sum(1)) / np.float32(1200) * np.float32(4)))
