"""Every rewrite keeps the float function; what was refused before it is on the chip after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from akida_nets import SAME, dense, entrance, noise, ops, quantize
from hypothesis import given, settings
from hypothesis import strategies as st

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.floatmodel import FloatModel
from quaint.rewrite import rewrite
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

CHIP = pipeline.find_target("akida2")


def rewritten(net: Builder, output: str) -> tuple[ir.Model, ir.Model, tuple[str, ...]]:
    """The canonical model before and after, and what was changed."""
    before = pipeline.canonical(pipeline.load_model(net.build(output)), Config())
    after = before.clone()
    return before, after, rewrite(after, CHIP, Config())


def assert_equal(net: Builder, output: str) -> tuple[str, ...]:
    before, after, lines = rewritten(net, output)
    samples = net.samples(4)
    truth, result = (next(iter(FloatModel(model).run(samples).values())) for model in (before, after))
    np.testing.assert_allclose(result, truth, rtol=1e-5, atol=1e-5)
    names = [node.name for node in after.graph]
    assert len(set(names)) == len(names)
    assert {node.name for node in before.graph if node.op_type in {"Conv", "Gemm"}} <= set(names)
    return lines


def conv(kernel: tuple[int, int], pads: list[int], *, groups: int = 1, **attributes: Any) -> tuple[Builder, str]:
    net = Builder("conv")
    x = net.conv(entrance(net), (8, 8), kernel, pads=pads, group=groups, **attributes)
    return net, net.op("Relu", net.conv(net.op("Relu", x), (8, 8), pads=SAME))


def pool(edge: int, size: int = 12, **attributes: Any) -> tuple[Builder, str]:
    net = Builder("pool")
    x = net.op("Relu", net.conv(entrance(net, size=size), (8, 8), (1, 1)))
    x = net.op("MaxPool", x, kernel_shape=[edge, edge], **attributes)
    return net, net.op("Relu", net.conv(x, (8, 8), pads=SAME))


def average(edge: int, **attributes: Any) -> tuple[Builder, str]:
    net = Builder("average")
    x = net.op("AveragePool", entrance(net), kernel_shape=[edge, edge], **attributes)
    return net, net.op("Relu", net.conv(x, (8, 8), (1, 1)))


def wide_average(size: int) -> tuple[Builder, str]:
    net = Builder("wide_average")
    return net, dense(net, net.op("GlobalAveragePool", entrance(net, size=size)), 8)


def resized(**attributes: Any) -> tuple[Builder, str]:
    net = Builder("resized")
    scales = net.constant([1, 1, 2, 2])
    x = net.op("Resize", entrance(net, size=6), "", scales, mode="nearest", **attributes)
    return net, net.op("Relu", net.conv(x, (8, 8), pads=SAME))


def joined() -> tuple[Builder, str]:
    net = Builder("joined")
    x = entrance(net)
    parts = [net.op("Relu", net.conv(x, (8, 4), (1, 1))) for _ in range(4)]
    return net, net.op("Relu", net.conv(net.op("Concat", *parts, axis=1), (16, 8), (1, 1)))


def shortcut(*, after_relu: bool) -> tuple[Builder, str]:
    """Every other pixel, and zeros as further channels (He et al., arXiv:1512.03385, shortcut A)."""
    net = Builder("shortcut")
    x = entrance(net)
    begin, end, step = (net.constant([n], np.int64) for n in (0, 99, 2))
    rows, columns = (net.constant([axis], np.int64) for axis in (2, 3))
    short = net.op("Slice", net.op("Slice", x, begin, end, rows, step), begin, end, columns, step)
    short = net.op("Relu", short) if after_relu else short
    short = net.op("Pad", short, net.constant([0, 4, 0, 0, 0, 4, 0, 0], np.int64))
    x = net.op("Relu", net.conv(x, (8, 16), pads=[0, 0, 1, 1], strides=[2, 2]))
    return net, net.op("Relu", net.conv(net.op("Add", x, short), (16, 8), (1, 1)))


def summed_last() -> tuple[Builder, str]:
    net = Builder("summed_last")
    x = entrance(net)
    return net, net.op("Add", x, net.op("Relu", net.conv(x, (8, 8), pads=SAME)))


def chain_of_sums() -> tuple[Builder, str]:
    net = Builder("chain_of_sums")
    x = entrance(net)
    total = net.op("Add", x, net.conv(x, (8, 8), pads=SAME))
    total = net.op("Add", total, net.conv(x, (8, 8), (1, 1)))
    return net, dense(net, total, 8 * 144)


def pooled_dense() -> tuple[Builder, str]:
    net = Builder("pooled_dense")
    x = net.op("Relu", net.conv(entrance(net), (8, 8), pads=SAME))
    return net, dense(net, net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), 8 * 36)


def point() -> tuple[Builder, str]:
    net = Builder("point")
    x = net.op("GlobalAveragePool", entrance(net))
    return net, net.op("Flatten", net.conv(net.op("Relu", net.conv(x, (8, 8), (1, 1))), (8, 10), (1, 1)))


TWO = {"strides": [2, 2]}
NETS: dict[str, tuple[Callable[[], tuple[Builder, str]], str]] = {
    "even": (lambda: conv((2, 2), [0, 0, 1, 1]), "kernel is 1, 3, 5, 7, not 2; its kernel is 3x3 now"),
    "even with the odd pad first": (lambda: conv((4, 4), [2, 2, 1, 1]), "its kernel is 5x5 now"),
    "oblong": (lambda: conv((1, 5), [0, 2, 0, 2]), "kernel 1x5 is not square; its kernel is 5x5 now"),
    "dilated": (lambda: conv((3, 3), [2] * 4, dilations=[2, 2]), "dilation; its kernel is 5x5 now"),
    "padded on one side": (lambda: conv((3, 3), [2, 2, 0, 0]), "padding [2, 2, 0, 0] is not 'same'; its kernel is 5x5"),
    "depthwise point": (lambda: conv((1, 1), [0] * 4, groups=8), "kernel is 3, 5, 7, not 1; its kernel is 3x3 now"),
    "groups": (lambda: conv((3, 3), SAME, groups=2), "2 groups; one now"),
    "5x5 with stride 2": (lambda: conv((5, 5), [2] * 4, **TWO), "a depthwise identity of stride 2 follows"),
    "4x4 with stride 2": (lambda: conv((4, 4), SAME, **TWO), "a depthwise identity of stride 2 follows"),
    "depthwise 7x7 with stride 2": (lambda: conv((7, 7), [3] * 4, groups=8, **TWO), "a depthwise identity of stride 2"),
    "3x3 pooling": (lambda: pool(3, strides=[2, 2], pads=SAME), "3x3 with pads [1, 1, 1, 1]; pooled 2x2 and shifted"),
    "3x3 pooling, odd": (lambda: pool(3, 11, strides=[2, 2], pads=SAME), "pooled 2x2 and shifted"),
    "3x3 pooling, stride 1": (lambda: pool(3, strides=[1, 1], pads=SAME), "pooled 2x2 and shifted"),
    "2x2 pooling": (lambda: pool(2, strides=[2, 2], pads=[1, 1, 0, 0]), "pooled 2x2 and shifted"),
    "average 2x2": (lambda: average(2, strides=[2, 2]), "a depthwise convolution now"),
    "average 3x3": (lambda: average(3, strides=[1, 1], pads=SAME, count_include_pad=1), "a depthwise convolution now"),
    "wide average": (lambda: wide_average(28), "28x28 pixels, 144 at the most; averages of 2x2 before it now"),
    "wide average, odd": (lambda: wide_average(27), "averages of 2x2 before it now"),
    "shortcut": (lambda: shortcut(after_relu=False), "filters of zeros in slice1 now"),
    "shortcut with ReLU": (lambda: shortcut(after_relu=True), "no layer selects pixels"),
    "resized": (lambda: resized(nearest_mode="floor", coordinate_transformation_mode="asymmetric"), "no layer resizes"),
    "resized by centers": (resized, "no layer resizes"),
    "four joined": (joined, "joins 4 maps, the chip two at a time; 3 layers now"),
    "summed last": (summed_last, "must feed a convolution; a 1x1 identity follows now"),
    "chain of sums": (chain_of_sums, "must feed a convolution; a 1x1 identity follows now"),
    "pooled, then dense": (pooled_dense, "must feed a convolution; a 1x1 identity follows now"),
}


@pytest.mark.parametrize("name", NETS)
def test_the_float_function_stays(name: str) -> None:
    make, line = NETS[name]
    assert any(line in found for found in assert_equal(*make())), rewritten(*make())[2]


@pytest.mark.parametrize("name", NETS)
def test_what_was_rewritten_is_on_the_chip(name: str) -> None:
    net, output = NETS[name][0]()
    made, samples, truth = quantize(net, "akida2", output)
    assert not made.refusals
    assert any(NETS[name][1] in warning for warning in made.warnings)
    assert noise(made, samples, truth) < 0.01


def test_what_the_chip_has_is_left_alone() -> None:
    net = Builder("plain")
    x = net.op("Relu", net.conv(entrance(net), (8, 8), (5, 5), pads=[2] * 4))
    x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.op("Relu", net.conv(x, (8, 8), (1, 1)))
    x = net.op("Add", x, net.conv(x, (8, 8), pads=SAME))
    assert rewritten(net, net.op("Relu", net.conv(x, (8, 8), pads=SAME, group=8)))[2] == ()


def test_a_convolution_of_one_pixel_is_a_dense_layer() -> None:
    net, output = point()
    assert assert_equal(net, output) == ()
    made, samples, truth = quantize(net, "akida2", output)
    assert ops(made)[-2:] == ["dense1d", "dequantizer"]
    assert noise(made, samples, truth) < 0.01


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_window(draw: st.DataObject) -> None:
    """Convolutions and pooling of any geometry: equal floats, whether they could be mended or not."""
    net, size = Builder("any"), draw.draw(st.integers(9, 12))
    edges, stride = draw.draw(st.tuples(st.integers(1, 5), st.integers(1, 5))), draw.draw(st.integers(1, 3))
    pads = [draw.draw(st.integers(0, edges[i % 2] - 1)) for i in range(4)]
    if draw.draw(st.booleans()):
        step, group = draw.draw(st.integers(1, 2)), draw.draw(st.sampled_from([1, 2, 8]))
        attributes = {"strides": [stride] * 2, "dilations": [step] * 2, "group": group}
        x = net.op("Relu", net.conv(entrance(net, size=size), (8, 8), edges, pads=pads, **attributes))
    else:
        x = net.op(
            draw.draw(st.sampled_from(["MaxPool", "AveragePool"])),
            entrance(net, size=size),
            kernel_shape=[edges[0]] * 2,
            strides=[stride] * 2,
            pads=[min(pads[0], edges[0] - 1), min(pads[0], edges[0] - 1), *(min(p, edges[0] - 1) for p in pads[2:])],
        )
    output = net.op("Relu", net.conv(x, (8, 8), (1, 1)))
    if not assert_equal(net, output):
        return
    try:
        made, samples, truth = quantize(net, "akida2", output)
    except QuaintError:
        return
    if not made.refusals:
        assert noise(made, samples, truth) < 0.02
