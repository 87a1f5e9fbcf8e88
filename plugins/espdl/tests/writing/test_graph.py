from __future__ import annotations

import numpy as np
import pytest

from quaint.integer import IntegerModel, Layer
from quaint.numerics import IntType, QuantParams
from quaint_espdl.writing.graph import GraphWriter, channel_last, original, wanted_channel_last

INT8 = QuantParams(np.float64(2.0**-5), IntType.parse("int8"))


def writer(**shapes: tuple[int | None, ...]) -> GraphWriter:
    model = IntegerModel("m", (), (), (), dict.fromkeys(shapes, INT8), shapes, "test")
    return GraphWriter(model, {"x": "image"}, {}, {8: 16})


@pytest.mark.parametrize(("rank", "layout"), [(2, (0, 1)), (3, (0, 2, 1)), (4, (0, 2, 3, 1))])
def test_channel_last(rank: int, layout: tuple[int, ...]) -> None:
    assert channel_last(rank) == layout


def test_a_tensor_is_transposed_once_for_all_readers() -> None:
    graph = writer(x=(None, 3, 4, 5))
    assert graph.declare("x", channel_last(4)) == "image"
    assert graph.take("x", channel_last(4)) == "image"
    names = {graph.take("x", original(4)) for _ in range(3)}
    assert names == {"image_transposed"}
    (node,) = graph.nodes
    assert node.attributes == {"perm": (0, 3, 1, 2), "quant_type": "S8"}
    assert graph.variables["image"].dims == (1, 4, 5, 3)
    assert graph.variables["image_transposed"].dims == (1, 3, 4, 5)
    assert graph.variables["image"].exponents == (-5,)


def test_elements_of_one_pixel_lie_in_order_as_they_are() -> None:
    graph = writer(x=(None, 7, 1, 1), y=(None, 7, 2, 1))
    graph.declare("x", channel_last(4))
    graph.declare("y", channel_last(4))
    assert graph.in_order("x") == "image"
    assert graph.in_order("y") == "y_transposed"


def test_names_are_unique_in_the_file() -> None:
    graph = writer(x=(None, 2))
    assert [graph.unique(name) for name in ("image", "node", "node", "node")] == ["image_1", "node", "node_1", "node_2"]


def test_what_a_map_layer_reads_through_others_enters_channel_last() -> None:
    layers = (
        Layer("requantize", ("x",), ("a",)),
        Layer("conv", ("a",), ("b",)),
        Layer("add", ("b", "y"), ("c",)),
        Layer("reshape", ("z",), ("d",)),
        Layer("max_pool", ("c",), ("e",)),
    )
    assert wanted_channel_last(layers) >= {"x", "a", "y", "c"}
    assert "z" not in wanted_channel_last(layers)
