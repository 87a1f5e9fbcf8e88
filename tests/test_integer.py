from __future__ import annotations

import numpy as np
import pytest

from quaint.integer import DEQUANTIZER, HOST, INPUT_QUANTIZER, IntegerModel, Layer
from quaint.numerics import IntType, QuantParams

INT8 = QuantParams(np.float64(0.5), IntType(8, signed=True))


def model() -> IntegerModel:
    """image -> q -> a -> (b, c) -> sum -> real -> probabilities; a and the sum are asked for as well."""
    layers = (
        Layer(INPUT_QUANTIZER, ["image"], ["q"]),
        Layer("clip", ["q"], ["a"], attributes={"low": 0, "high": 127}),
        Layer("split", ["a"], ["b", "c"]),
        Layer("add", ["b", "c"], ["sum"]),
        Layer(DEQUANTIZER, ["sum"], ["real"]),
        Layer(HOST, ["real"], ["probabilities"]),
    )
    tensors = dict.fromkeys(["q", "a", "b", "c", "sum"], INT8)
    return IntegerModel("net", ("image",), ("probabilities", "a"), layers, tensors, {}, "quaint.test")


def test_edges() -> None:
    assert model().integer_inputs == ("q",)
    assert model().integer_outputs == ("a", "sum")
    assert [layer.op for layer in model().integer_layers] == ["clip", "split", "add"]


def test_edges_of_an_integer_model() -> None:
    part = model().cut(["q"], ["sum", "a"])
    assert part.integer_inputs == ("q",)
    assert part.integer_outputs == ("sum", "a")


def test_reals_that_a_chip_gives_leave_with_its_integers() -> None:
    layers = (Layer("clip", ["a"], ["b"]), Layer("softmax", ["b"], ["c"]))
    made = IntegerModel("net", ("a",), ("c",), layers, {"a": INT8, "b": INT8}, {}, "quaint.test")
    assert made.integer_outputs == ("c",)
    assert [layer.op for layer in made.integer_layers] == ["clip"]


@pytest.mark.parametrize(
    ("inputs", "outputs", "ops"),
    [
        (["image"], ["a"], [INPUT_QUANTIZER, "clip"]),
        (["a"], ["sum"], ["split", "add"]),
        (["b", "c"], ["sum", "b"], ["add"]),
        (["b", "a"], ["sum"], ["split", "add"]),
        (["a"], ["a"], []),
        (["image"], ["b"], [INPUT_QUANTIZER, "clip", "split"]),
    ],
)
def test_cut(inputs: list[str], outputs: list[str], ops: list[str]) -> None:
    """Only the layers that the outputs need, in the order of the model."""
    part = model().cut(inputs, outputs)
    assert [layer.op for layer in part.layers] == ops
    assert (part.inputs, part.outputs) == (tuple(inputs), tuple(outputs))


@pytest.mark.parametrize(("inputs", "outputs"), [([], ["q"]), (["b"], ["sum"]), (["image"], ["nothing"])])
def test_cut_that_leaves_something_open(inputs: list[str], outputs: list[str]) -> None:
    with pytest.raises(KeyError):
        model().cut(inputs, outputs)


def test_layers_are_canonical() -> None:
    """The order in which constants and attributes were given leaves no trace."""
    layer = Layer("conv", ["x"], ["y"], {"weight": np.zeros((2, 3), np.int8), "bias": [1, 2]}, {"group": 1, "axis": 0})
    assert list(layer.constants) == ["bias", "weight"]
    assert list(layer.attributes) == ["axis", "group"]
    assert layer.inputs == ("x",)
    assert layer.parameter_bytes == 6 + 2 * 8
