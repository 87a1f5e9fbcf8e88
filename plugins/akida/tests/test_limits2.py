from __future__ import annotations

from typing import Any

import pytest
from akida_nets import SAME, chain, dense, inner, reasons

from quaint.testing.builder import Builder


def first(
    channels: int, size: tuple[int, int] = (12, 12), kernel: int = 3, filters: int = 8, **attributes: Any
) -> tuple[Builder, str]:
    net = Builder("first")
    return net, net.op(
        "Relu", net.conv(net.input(channels, *size), (channels, filters), (kernel, kernel), **attributes)
    )


def pooled(**attributes: Any) -> tuple[Builder, str]:
    net, x = inner(pads=SAME)
    return net, net.op("Relu", net.conv(net.op("MaxPool", x, **attributes), (8, 8), pads=SAME))


def ending(op: str, size: int = 12) -> tuple[Builder, str]:
    net, x = inner(pads=SAME, size=size)
    return net, net.op(op, x)


def without_relu() -> tuple[Builder, str]:
    net = Builder("without_relu")
    return net, net.op("Relu", net.conv(net.conv(net.input(3, 8, 8), (3, 8), pads=SAME), (8, 8), pads=SAME))


def added_last() -> tuple[Builder, str]:
    net, x = inner(pads=SAME)
    return net, net.op("Add", x, net.op("Relu", net.conv(x, (8, 8), pads=SAME)))


def three_joined() -> tuple[Builder, str]:
    net, x = inner(pads=SAME)
    both = net.op("Concat", x, net.conv(x, (8, 4), (1, 1)), net.conv(x, (8, 4), (1, 1)), axis=1)
    return net, net.op("Relu", net.conv(both, (16, 4), (1, 1)))


def dense_after_pool(size: int = 12) -> tuple[Builder, str]:
    net, x = inner(pads=SAME, size=size)
    pool = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    return net, dense(net, pool, 8 * (size // 2) ** 2)


def wide_dense() -> tuple[Builder, str]:
    net, x = inner(pads=SAME, size=18)
    return net, dense(net, x, 8 * 18 * 18)


def negative_clip() -> tuple[Builder, str]:
    net, x = inner(pads=SAME)
    return net, net.op("Clip", net.conv(x, (8, 8), pads=SAME), net.constant(-1.0), net.constant(1.0))


def transposed(**attributes: Any) -> tuple[Builder, str]:
    net, x = inner(pads=SAME, size=6)
    return net, net.op("Relu", net.conv_transpose(x, (8, 8), (2, 2), **attributes))


LIMITS = {
    "the input layer's kernel is 3, 4, 5 or 7, not 1": first(3, kernel=1),
    "the input layer's stride is 3 at the most, not 4": first(3, strides=[4, 4], pads=SAME),
    "padding [0, 1, 0, 1] is neither 'same' nor none": first(3, pads=[0, 1, 0, 1]),
    "the input map is 5 to 384 wide and at least 5 high, not 4x12": first(3, size=(4, 12), pads=SAME),
    "the input map is 5 to 384 wide and at least 5 high, not 6x400": first(3, size=(6, 400), pads=SAME),
    "the input layer needs a ReLU": without_relu(),
    "kernel 10x4 is not square": inner((10, 4)),
    "kernel is 1, 3, 5, 7, not 2": inner((2, 2), pads=[0, 0, 1, 1]),
    "stride 2 with kernel 5: only 1, or 2 with kernel 1 or 3": inner((5, 5), pads=[1, 1, 2, 2], strides=[2, 2]),
    "padding [0, 0, 0, 0] is not 'same'": inner((3, 3)),
    "convolution in 2 groups": inner(pads=SAME, group=2),
    "strides 1x2 differ": inner(pads=SAME, strides=[1, 2]),
    "dilation": inner(pads=[2, 2, 2, 2], dilations=[2, 2]),
    "max pooling 3x3 with stride 2: only 2x2 with stride 2": pooled(kernel_shape=[3, 3], strides=[2, 2], pads=SAME),
    "it needs padding 'same'": pooled(kernel_shape=[2, 2], strides=[2, 2], pads=SAME),
    "a global average of 13x13 pixels: 144 at the most": ending("GlobalAveragePool", size=13),
    "max pooling needs a convolution after it": dense_after_pool(),
    "2048 inputs at the most, not 2592": wide_dense(),
    "its Clip starts at -1.0, not at 0": negative_clip(),
    "must be followed by a convolution": added_last(),
    "joins 3 tensors": three_joined(),
    "transposed convolution has kernel 3 or 4 and stride 2": transposed(strides=[2, 2]),
}


@pytest.mark.parametrize("reason", LIMITS)
def test_limits(reason: str) -> None:
    net, output = LIMITS[reason]
    assert reason in reasons(net, "akida2", output)


def test_limit_of_channels() -> None:
    net, x = inner(channels=2064, size=5, pads=SAME)
    assert "2048 channels at the most, not 2064" in reasons(net, "akida2", x)


def test_limit_of_a_filter() -> None:
    net, x = inner((7, 7), channels=512, size=5, pads=[3, 3, 3, 3])
    assert "a filter of 7x7x512 does not fit" in reasons(net, "akida2", x)


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({"activation_bits": 4}, "its input has 4 bits, so its weights can't have 8"),
        ({"weight_bits": 4}, "4-bit weights need an output of 4 bits"),
        ({"input_weight_bits": 4}, "the input layer for images has 8-bit weights"),
    ],
)
def test_limits_of_widths(wishes: dict[str, int], reason: str) -> None:
    net = Builder("widths")
    x = net.op("Relu", net.conv(chain(net, net.input(3, 8, 8), 3), (8, 8), pads=SAME))
    x = net.op("Relu", dense(net, net.op("GlobalAveragePool", x), 8))
    output = net.gemm(x, 10, 4)
    assert reason in reasons(net, "akida2", output, **wishes)


def test_uint8_enters_only_as_an_image() -> None:
    net, x = first(2, pads=SAME)
    assert "uint8 enters only through a convolution" in reasons(net, "akida2", x, input_dtype="uint8")
