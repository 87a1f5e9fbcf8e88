"""``x * scale + offset`` before a model: equal floats, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

import quaint
from quaint.errors import QuaintError
from quaint.floatmodel import FloatModel
from quaint.testing.builder import Builder


def net() -> tuple[Any, np.ndarray[Any, np.dtype[np.float32]]]:
    made = Builder("net")
    x = made.input(3, 8, 8)
    total = made.op("Add", made.conv(x, (3, 3), pads=[1, 1, 1, 1]), x)
    return made.build(made.op("Relu", total)), made.samples(4)["input"]


def run(model: Any, x: Any) -> Any:
    loaded = model if isinstance(model, ir.Model) else ir.from_proto(model)
    name = loaded.graph.outputs[0].name or ""
    return FloatModel(loaded, (name,)).run({"input": x})[name]


@pytest.mark.parametrize(("scale", "offset"), [(1 / 255, 0.0), (1 / 127.5, -1.0), (2.0, 0.25)])
def test_every_reader_of_the_input_sees_the_rescaled_one(scale: float, offset: float) -> None:
    model, x = net()
    rescaled = quaint.insert_rescaling(model, scale, offset)
    wanted = run(model, (x * np.float32(scale) + np.float32(offset)).astype(np.float32))
    np.testing.assert_allclose(run(rescaled, x), wanted, rtol=1e-5, atol=1e-5)
    assert [node.name for node in rescaled.graph][:2] == ["rescaling", "rescaling/offset" if offset else "conv0"]


def test_the_model_itself_stays_as_it_is() -> None:
    model, _ = net()
    before = model.SerializeToString()
    quaint.insert_rescaling(model, 0.5)
    assert model.SerializeToString() == before


def test_twice_gives_two_names() -> None:
    model, x = net()
    twice = quaint.insert_rescaling(quaint.insert_rescaling(model, 0.5), 0.5)
    assert [node.name for node in twice.graph][:2] == ["rescaling_0", "rescaling"]
    np.testing.assert_allclose(run(twice, x), run(model, x * np.float32(0.25)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0,), "cannot rescale by 0.0"),
        ((-1.0,), "give a positive scale"),
        ((float("nan"),), "cannot rescale by nan"),
        ((1.0, float("inf")), "and inf"),
    ],
)
def test_numbers_that_are_refused(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(QuaintError, match=f"QU111.*{message}"):
        quaint.insert_rescaling(net()[0], *arguments)


def test_the_input_must_be_known_and_float() -> None:
    two = Builder("two")
    both = two.build(two.op("Add", two.input(4, name="a"), two.input(4, name="b")))
    with pytest.raises(QuaintError, match=r"QU111.*the model has 2 inputs, name one of a, b"):
        quaint.insert_rescaling(both, 0.5)
    with pytest.raises(QuaintError, match=r"QU111.*no input is called 'c', known: a, b"):
        quaint.insert_rescaling(both, 0.5, name="c")
    assert quaint.insert_rescaling(both, 0.5, name="b").graph.num_nodes() == 2
