"""Entries, borders and pixels in the file; ``prove`` runs each file in an interpreter of the runtime's C code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from espdl_proof import Net, prove, quantized

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.testing import zoo
from quaint.testing.zoo import movement

if TYPE_CHECKING:
    from quaint_espdl.file.elements import EspdlModel

ZOO = [name for name in zoo.names() if hasattr(movement, name) and name != "pad_wrap"]


def between(size: tuple[int, ...], op_type: str, *given: Any, bits: int = 8, **attributes: Any) -> EspdlModel:
    """A model that moves what a convolution gives; its file, proved."""
    net = Net(x=("N", *size))
    weight = np.eye(size[0], dtype=np.float32).reshape(size[0], size[0], *[1] * (len(size) - 1))
    made = net.add(op_type, net.add("Conv", net["x"], weight), *given, **attributes)
    return prove(quantized(net.model(made), "esp32p4", weight_bits=bits, activation_bits=bits))


def operators(model: EspdlModel) -> list[str]:
    return [node.op_type for node in model.graph.nodes]


def parameters(model: EspdlModel, op_type: str) -> list[list[float]]:
    """The constants of the first node of an operator."""
    node = next(node for node in model.graph.nodes if node.op_type == op_type)
    held = {tensor.name: tensor.array.reshape(-1).tolist() for tensor in model.graph.initializers}
    return [held[name] for name in node.inputs[1:] if name]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("name", ZOO)
def test_the_file_computes_the_model(name: str, bits: int) -> None:
    given = zoo.load(name)
    prove(pipeline.quantize(given.model, "esp32s3", given.samples, Config(weight_bits=bits, activation_bits=bits)))


def test_a_slice_lists_every_axis_channel_last() -> None:
    bounds = [np.array(numbers) for numbers in ([1, 0], [4, 8], [1, 3], [1, 2])]
    model = between((4, 6, 8), "Slice", *bounds)
    assert operators(model) == ["Conv", "Slice"]
    assert parameters(model, "Slice") == [[0, 0, 0, 1], [1, 6, 7, 4], [0, 1, 2, 3], [1, 1, 2, 1]]


@pytest.mark.parametrize(
    ("bits", "sizes", "made"),
    [(8, (12, 24), ["Resize"]), (16, (12, 24), ["Gather", "Gather"]), (8, (9, 8), ["Gather"]), (8, (3, 4), ["Slice"])],
)
def test_resize_where_the_runtime_gives_the_same(bits: int, sizes: tuple[int, int], made: list[str]) -> None:
    scales = np.array([1, 1, sizes[0] / 6, sizes[1] / 8], np.float32)
    model = between(
        (4, 6, 8), "Resize", np.zeros(0, np.float32), scales, bits=bits,
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip
    assert operators(model)[1:] == made
    if made == ["Resize"]:
        assert parameters(model, "Resize") == [[1, 1, 2, 3]]


@pytest.mark.parametrize(("pads", "made"), [((2, 1, 2, 1), "Pad"), ((2, 1, 1, 1), "Gather"), ((0, 2, 0, 1), "Gather")])
def test_uneven_edges_are_gathered(pads: tuple[int, ...], made: str) -> None:
    top, left, bottom, right = pads
    model = between((4, 6, 8), "Pad", np.array([0, 0, top, left, 0, 0, bottom, right]), mode="edge")
    assert set(operators(model)[1:]) == {made}


def test_the_value_of_a_border_is_on_the_exponent_of_its_input() -> None:
    model = between((4, 6), "Pad", np.array([0, 0, 2, 0, 0, 0]), np.float32(-20))
    (node,) = (node for node in model.graph.nodes if node.op_type == "Pad")
    value = next(tensor for tensor in model.graph.initializers if tensor.name == node.inputs[2])
    (exponent,) = value.exponents
    assert value.dims == ()
    assert value.array * 2.0**exponent == -20
    assert parameters(model, "Pad")[0] == [0, 2, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("channels", "mode", "made"),
    [(12, "CRD", [("DepthToSpace", "CRD")]), (8, "DCR", [("DepthToSpace", "DCR")]), (4, "DCR", [("DepthToSpace", "CRD")]),
     (12, "DCR", [("Gather", None), ("DepthToSpace", "CRD")])],
)  # fmt: skip
def test_depth_to_space_where_the_runtime_has_it(channels: int, mode: str, made: list[tuple[str, str | None]]) -> None:
    model = between((channels, 3, 5), "DepthToSpace", blocksize=2, mode=mode)
    assert [(node.op_type, node.attributes.get("mode")) for node in model.graph.nodes][1:] == made


@pytest.mark.parametrize(("channels", "made"), [(3, ["SpaceToDepth", "Gather"]), (1, ["SpaceToDepth"])])
def test_space_to_depth_has_its_channels_outside(channels: int, made: list[str]) -> None:
    assert operators(between((channels, 4, 6), "SpaceToDepth", blocksize=2))[1:] == made


def test_one_entry_drops_the_axis_without_a_transpose() -> None:
    assert operators(between((4, 6), "Gather", np.array(-1), axis=2)) == ["Conv", "Gather", "Reshape"]


def test_axes_of_one_entry_come_and_go_channel_last() -> None:
    net = Net(x=("N", 3, 1, 8))
    x = net.add("Conv", net["x"], np.ones((4, 3, 1, 1), np.float32))
    x = net.add("Conv", net.add("Squeeze", x, np.array([2])), np.ones((2, 4, 3), np.float32))
    assert operators(prove(quantized(net.model(x), "esp32p4"))) == ["Conv", "Reshape", "Conv"]


@pytest.mark.parametrize("bits", [8, 16])
def test_constants_at_the_ends_are_added_to_borders(bits: int) -> None:
    net = Net(x=(1, 4, 6), y=(1, 4, 2))
    first, last = (np.random.default_rng(n).normal(size=(1, 4, n)).astype(np.float32) for n in (2, 1))
    joined = net.add("Concat", first, net["x"], net["y"], last, axis=2)
    model = prove(quantized(net.model(joined), "esp32s3", weight_bits=bits, activation_bits=bits))
    assert operators(model)[-3:] == ["Concat", "Pad", "Add"]


@pytest.mark.parametrize(
    ("draw", "reason"),
    [
        (lambda net: net.add("Pad", net["x"], np.array([0, 1, 0, 1]), mode="wrap"), "'wrap'"),
        (lambda net: net.add("Concat", net["x"], np.zeros((1, 1), np.float32), net["x"], axis=1), "between tensors"),
        (lambda net: net.add("Concat", net["x"], np.full((1, 1), np.inf, np.float32), axis=1), "not finite"),
    ],
)
def test_what_the_runtime_lacks_is_refused(draw: Any, reason: str) -> None:
    net = Net(x=(1, 5))
    with pytest.raises(QuaintError) as caught:
        quantized(net.model(draw(net)), "esp32p4")
    assert caught.value.code == "QT310"
    assert reason in str(caught.value.details)
