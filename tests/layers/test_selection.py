"""Layers that move numbers: the integers of samples that are whole numbers move as the float operator moves them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.floatmodel import FloatModel
from quaint.layers.patterns import STANDARD
from quaint.numerics import IntType, QuantSpec
from quaint.target import Target
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    from quaint.quantized import Quantized

SPEC = QuantSpec(IntType(8, signed=True), symmetric=False)
CHIP = Target("mover", "moves numbers", "quaint.test", STANDARD, SPEC, SPEC)
SIZE = (4, 6, 8)
FAR = 2**31 - 1

Draw = Callable[[Builder, str], str]


def ints(b: Builder, *numbers: int) -> str:
    return b.constant(list(numbers), int)


def resize(b: Builder, x: str, scales: list[float], sizes: list[int] | None = None, **wish: Any) -> str:
    given = (b.constant(scales),) if sizes is None else ("", ints(b, *sizes))
    return b.op("Resize", x, "", *given, **{"mode": "nearest", **wish})


def quantized(draw: Draw, batch: int | None = None) -> Quantized:
    b = Builder("moved")
    model = b.build(draw(b, b.input(*SIZE)))
    if batch:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
        del model.graph.value_info[:]
        model = onnx.shape_inference.infer_shapes(model)
    samples = {"input": whole_numbers(32)}
    return pipeline.quantize(model, CHIP, samples, Config())


def whole_numbers(count: int) -> np.ndarray:
    values = np.random.default_rng(0).integers(-100, 156, (count, *SIZE)).astype(np.float32)
    values.reshape(-1)[:2] = -100, 155  # the whole range: one step is 1
    return values


def prove(draw: Draw) -> Quantized:
    """Zero-point and all: what the float operator gives is what the integers stand for."""
    made = quantized(draw)
    assert not made.refusals
    samples = {"input": whole_numbers(32)}
    (name,) = made.integer.outputs
    for simulator in ("reference", "onnxruntime"):
        wanted = FloatModel(made.source).run(samples)[name]
        np.testing.assert_array_equal(made.run(samples, simulator=simulator)[name], wanted)
    return made


MOVES: dict[str, Draw] = {
    "slice without axes": lambda b, x: b.op("Slice", x, ints(b, 0, 1, -3), ints(b, FAR, -1, 100)),
    "slice with steps": lambda b, x: b.op(
        "Slice", x, ints(b, 5, -1), ints(b, -100, 0), ints(b, -1, 2), ints(b, -2, -1)
    ),
    "gather from the end": lambda b, x: b.op("Gather", x, ints(b, -1, 0, -2), axis=-1),
    "gather one": lambda b, x: b.op("Gather", x, b.constant(2, int), axis=1),
    "gather a table": lambda b, x: b.op("Gather", x, b.constant([[0, 5], [1, 1]], int), axis=2),
    "tile": lambda b, x: b.op("Tile", x, ints(b, 1, 2, 1, 3)),
    "expand": lambda b, x: b.op("Expand", b.op("Slice", x, ints(b, 2), ints(b, 3), ints(b, 2)), ints(b, 1, 5, 1)),
    "pad on listed axes": lambda b, x: b.op("Pad", x, ints(b, 1, 0, 2, 3), b.constant(7.0), ints(b, 3, -3)),
    "pad axes without a value": lambda b, x: b.op("Pad", x, ints(b, 1, 2), "", ints(b, 2), mode="reflect"),
    "pad by the nearest": lambda b, x: b.op("Pad", x, ints(b, 0, 0, 9, 1, 0, 0, 0, 2), mode="edge"),
    "pad around": lambda b, x: b.op("Pad", x, ints(b, 0, 0, 2, 0, 0, 0, 0, 3), mode="wrap"),
    "depth to space": lambda b, x: b.op("DepthToSpace", x, blocksize=2),
    "depth to space, channels outside": lambda b, x: b.op("DepthToSpace", x, blocksize=2, mode="CRD"),
    "space to depth": lambda b, x: b.op("SpaceToDepth", x, blocksize=2),
    "resize by whole factors": lambda b, x: resize(b, x, [1, 1, 2, 3], coordinate_transformation_mode="asymmetric"),
    "resize to odd sizes": lambda b, x: resize(b, x, [], [5, 11], axes=[2, 3]),
    "resize smaller": lambda b, x: resize(b, x, [1, 1, 0.5, 0.25], nearest_mode="ceil"),
    "resize by corners": lambda b, x: resize(b, x, [1, 1, 1.5, 2], coordinate_transformation_mode="align_corners"),
}


@pytest.mark.parametrize("name", MOVES)
def test_integers_move_as_floats_do(name: str) -> None:
    prove(MOVES[name])


@pytest.mark.parametrize(
    ("split", "perm", "shape", "op"),
    [
        ([0, 2, 2, 6, 8], [0, 2, 1, 3, 4], [0, 4, 6, 8], "take"),
        ([0, 4, 6, 4, 2], [0, 1, 2, 4, 3], [0, 4, 6, 8], "take"),
        ([0, 4, 3, 2, 4, 2], [0, 1, 3, 5, 2, 4], [0, 16, 3, 4], "rearrange"),
        ([0, 4, 3, 2, 4, 2], [0, 3, 5, 1, 2, 4], [0, 16, 3, 4], "rearrange"),
        ([0, 1, 2, 2, 6, 8], [0, 1, 4, 2, 5, 3], [0, 1, 12, 16], "rearrange"),
        ([0, 2, 2, 1, 6, 8], [0, 3, 4, 1, 5, 2], [0, 1, 12, 16], "rearrange"),
        ([0, 2, 2, 6, 8], [0, 3, 1, 2, 4], [0, 6, 4, 8], "transpose"),
    ],
)
def test_what_exporters_write_out_is_one_layer(split: list[int], perm: list[int], shape: list[int], op: str) -> None:
    def draw(b: Builder, x: str) -> str:
        x = b.op("Transpose", b.op("Reshape", x, ints(b, *split)), perm=perm)
        return b.op("Reshape", x, ints(b, *shape))

    ops = [layer.op for layer in prove(draw).integer.integer_layers]
    assert op in ops
    assert (len(ops) == 1) == (op != "transpose")


def test_a_border_widens_the_range() -> None:
    made = quantized(lambda b, x: b.op("Pad", x, ints(b, 1, 1), b.constant(1000.0), ints(b, 2)))
    (out,) = (made.integer.tensors[name] for layer in made.integer.integer_layers for name in layer.outputs)
    assert out.dequantize(np.array(out.dtype.high)) == pytest.approx(1000, abs=float(out.scale))


@pytest.mark.parametrize(
    ("draw", "reason"),
    [
        (lambda b, x: b.op("Gather", x, b.op("Cast", x, to=7), axis=3), "its parameters are not constant"),
        (lambda b, x: b.op("Pad", x, ints(b, 0, 0, 0, 0, 0, 0, -1, 0)), "cuts off"),
        (lambda b, x: b.op("Pad", x, ints(b, 0, 1), b.constant(-np.inf), ints(b, 2)), "a border of -inf"),
        (lambda b, x: b.op("Pad", x, ints(b, 1, 0), "", ints(b, 0)), "adds samples to a batch"),
        (lambda b, x: b.op("Tile", x, ints(b, 2, 1, 1, 1)), "picks among the samples"),
        (lambda b, x: resize(b, x, [1, 1, 2, 2], mode="cubic"), "cubic interpolation"),
    ],
)
def test_what_cannot_be_moved_is_refused(draw: Draw, reason: str) -> None:
    with pytest.raises(QuaintError) as caught:
        quantized(draw, batch=1)
    assert caught.value.code == "QT310"
    assert reason in str(caught.value.details)


def test_a_sequence_backwards() -> None:
    def draw(b: Builder, x: str) -> str:
        return b.op("ReverseSequence", x, b.constant([3], int), batch_axis=0, time_axis=1)

    made = quantized(draw, batch=1)
    (layer,) = made.integer.integer_layers
    assert layer.attributes == {"axes": [1], "indices": [[2, 1, 0, 3]]}


def test_constants_are_joined_on_the_scale_of_the_output() -> None:
    rows = np.linspace(-300, 300, 4 * 2 * 8).reshape(1, 4, 2, 8)
    made = quantized(lambda b, x: b.op("Concat", b.constant(rows), x, axis=2), batch=1)
    (name,) = made.integer.outputs
    got = made.run({"input": whole_numbers(1)})[name][:, :, :2]
    assert np.abs(got - rows).max() <= 600 / 255 / 2 * 1.01


def test_a_border_that_an_integer_input_cannot_hold_is_told_of() -> None:
    b = Builder("typed")
    x = b.op("Cast", b.input(*SIZE), to=1)
    model = b.build(b.op("Pad", x, ints(b, 1, 1), b.constant(300.0), ints(b, 2)))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT8
    samples = {"input": np.clip(whole_numbers(32), -128, 127).astype(np.int8)}
    made = pipeline.quantize(model, CHIP, samples, Config())
    assert made.warnings == ("layer 'pad0': its border of 300 saturates to 127",)
