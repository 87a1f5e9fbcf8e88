from __future__ import annotations

from typing import Any

import pytest
from akida_nets import SAME, dense, entrance, reasons, separable

from quaint.testing.builder import Builder


def first(size: tuple[int, int] = (12, 12), kernel: int = 3, **attributes: Any) -> tuple[Builder, str]:
    net, filters = Builder("first"), attributes.pop("filters", 8)
    channels = attributes.pop("channels", 3)
    x = net.op("Relu", net.conv(net.input(channels, *size), (channels, filters), (kernel, kernel), **attributes))
    return net, net.op("Relu", net.conv(x, (filters, 4), pads=SAME))


def inner(kernel: int = 3, channels: int = 8, size: int = 12, **attributes: Any) -> tuple[Builder, str]:
    net = Builder("inner")
    return net, net.op(
        "Relu", net.conv(entrance(net, size=size, filters=channels), (channels, 8), (kernel, kernel), **attributes)
    )


def depthwise(**attributes: Any) -> tuple[Builder, str]:
    net = Builder("depthwise")
    return net, separable(net, entrance(net), (8, 8), **attributes)


def inner_relu() -> tuple[Builder, str]:
    net = Builder("inner_relu")
    x = net.op("Relu", net.conv(entrance(net), (8, 8), pads=SAME, group=8))
    return net, net.op("Relu", net.conv(x, (8, 8), (1, 1)))


def two_convolutions() -> tuple[Builder, str]:
    net = Builder("two_convolutions")
    return net, net.op("Relu", net.conv(net.conv(entrance(net), (8, 8), pads=SAME), (8, 8), pads=SAME))


def depthwise_and_wide() -> tuple[Builder, str]:
    net = Builder("depthwise_and_wide")
    return net, net.op("Relu", net.conv(net.conv(entrance(net), (8, 8), pads=SAME, group=8), (8, 8), pads=SAME))


def pooled(stride: int = 1, **attributes: Any) -> tuple[Builder, str]:
    net = Builder("pooled")
    pads = [0, 0, 1, 1] if stride == 2 else SAME
    x = net.op("Relu", net.conv(entrance(net), (8, 8), strides=[stride, stride], pads=pads))
    return net, net.op("Relu", net.conv(net.op("MaxPool", x, **attributes), (8, 8), pads=SAME))


def pooled_dense() -> tuple[Builder, str]:
    net = Builder("pooled_dense")
    x = net.op("Relu", net.conv(entrance(net), (8, 8), pads=SAME))
    return net, dense(net, net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), 8 * 36)


def large_average(size: int, *, after_depthwise: bool = False) -> tuple[Builder, str]:
    net = Builder("large_average")
    x = entrance(net, size=size)
    if after_depthwise:
        x = net.conv(net.conv(x, (8, 8), pads=SAME, group=8), (8, 8), (1, 1))
        return net, net.op("GlobalAveragePool", x)
    return net, dense(net, net.op("GlobalAveragePool", x), 8)


def branched() -> tuple[Builder, str]:
    net = Builder("branched")
    x = entrance(net)
    return net, net.op("Add", *(net.op("Relu", net.conv(x, (8, 8), pads=SAME)) for _ in range(2)))


def dense_first() -> tuple[Builder, str]:
    net = Builder("dense_first")
    return net, net.gemm(net.input(8), 8, 4)


def negative_clip() -> tuple[Builder, str]:
    net = Builder("negative_clip")
    low, high = net.constant(-1.0), net.constant(1.0)
    return net, net.op("Clip", net.conv(entrance(net), (8, 8), pads=SAME), low, high)


LIMITS = {
    "the input layer takes 1 or 3 channels, not 2": first(channels=2, pads=SAME),
    "the input layer's kernel is 3, 5 or 7, not 9": first(kernel=9),
    "the input layer's stride is 1 to 3, not 4": first(strides=[4, 4], pads=SAME),
    "padding [0, 1, 0, 1] is not 'same'": first(pads=[0, 1, 0, 1]),
    "5 to 256 wide and at least 5 high, not 4x12": first(size=(4, 12), pads=SAME),
    "5 to 256 wide and at least 5 high, not 6x300": first(size=(6, 300), pads=SAME),
    "the input layer has 192 filters at the most here, not 200": first(filters=200, pads=SAME),
    "kernel is 1, 3, 5 or 7, not 9": inner(9, pads=[4] * 4),
    "a filter of 3x3x512 does not fit": inner(channels=512, pads=SAME, size=6),
    "stride 2 with kernel 5: only 1, or 2 with kernel 3": inner(5, strides=[2, 2], pads=[1, 1, 2, 2]),
    "padding [1, 1, 1, 1] is not 'same'": inner(strides=[2, 2], pads=SAME),
    "2048 channels and filters at the most, not 2064": inner(1, channels=2064, size=5),
    "a depthwise convolution needs a pointwise one right after it": inner_relu(),
    "stride 2 with kernel 5: only": depthwise(kernel=(5, 5), strides=[2, 2], pads=[1, 1, 2, 2]),
    "only a pointwise one (1x1, stride 1)": depthwise_and_wide(),
    "two convolutions in a row without ReLU between": two_convolutions(),
    "max pooling 3x3 with stride 2: only 2x2": pooled(kernel_shape=[3, 3], strides=[2, 2], pads=SAME),
    "pooling and stride 2 together": pooled(stride=2, kernel_shape=[2, 2], strides=[2, 2]),
    "max pooling needs a convolution after it": pooled_dense(),
    "a global average of more than 32x32": large_average(33),
    "a global average of more than 256 pixels after a depthwise": large_average(17, after_depthwise=True),
    "2 layers read its output, the chip runs one chain": branched(),
    "cannot be the first layer": dense_first(),
    "its Clip starts at -1.0, not at 0": negative_clip(),
}


@pytest.mark.parametrize("reason", LIMITS)
def test_limits(reason: str) -> None:
    net, output = LIMITS[reason]
    assert reason in reasons(net, "akida1", output)


def test_eight_bit_weights_only_in_the_input_layer() -> None:
    net, output = depthwise()
    assert "weights have 4 bits at the most after the input layer, not 8" in reasons(
        net, "akida1", output, weight_bits=8
    )
