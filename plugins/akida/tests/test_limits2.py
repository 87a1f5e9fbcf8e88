from __future__ import annotations

from typing import Any

import numpy as np
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


def without_relu() -> tuple[Builder, str]:
    net = Builder("without_relu")
    return net, net.op("Relu", net.conv(net.conv(net.input(3, 8, 8), (3, 8), pads=SAME), (8, 8), pads=SAME))


def wide_dense() -> tuple[Builder, str]:
    net, x = inner(pads=SAME, size=18)
    return net, dense(net, x, 8 * 18 * 18)


def clipped_dense() -> tuple[Builder, str]:
    net, x = inner(pads=SAME)
    return net, net.op("Clip", dense(net, x, 8 * 144), net.constant(-1.0), net.constant(1.0))


def uneven_slopes() -> tuple[Builder, str]:
    net, x = inner(pads=SAME)
    return net, net.op("PRelu", net.conv(x, (8, 8), pads=SAME), net.constant(np.linspace(0.1, 0.5, 8).reshape(8, 1, 1)))


def over_time(frames: int, window: tuple[int, int] = (1, 1), **attributes: Any) -> tuple[Builder, str]:
    net = Builder("over_time")
    x = net.op("Relu", net.conv(net.input(3, 12, 8, 8), (3, 8), (1, 3, 3), pads=[0, 1, 1] * 2))
    given = {"pads": [frames - 1, 0, 0, 0, 0, 0], **attributes}
    return net, net.op("Relu", net.conv(x, (8, 8), (frames, *window), **given))


def transposed(**attributes: Any) -> tuple[Builder, str]:
    net, x = inner(pads=SAME, size=6)
    return net, net.op("Relu", net.conv_transpose(x, (8, 8), (2, 2), **attributes))


LIMITS = {
    "the input layer's kernel is 3, 4, 5 or 7, not 9": first(3, kernel=9, pads=[4] * 4),
    "the input layer's stride is 6 at the most, not 7": first(3, (40, 40), kernel=7, strides=[7, 7], pads=[3] * 4),
    "padding [0, 4, 0, 4] is neither 'same' nor none": first(3, pads=[0, 4, 0, 4]),
    "the input map is 5 to 384 wide and at least 5 high, not 4x12": first(3, size=(4, 12), pads=SAME),
    "the input map is 5 to 384 wide and at least 5 high, not 6x400": first(3, size=(6, 400), pads=SAME),
    "the input layer needs an activation": without_relu(),
    "kernel 10x4 is not square": inner((10, 4)),
    "kernel is 1, 3, 5, 7, not 9": inner((9, 9), pads=[4] * 4),
    "stride 3 with kernel 3: only 1, or 2 with kernel 1 or 3": inner(pads=SAME, strides=[3, 3]),
    "padding [0, 0, 0, 0] is not 'same'": inner((3, 3)),
    "strides 1x2 differ": inner(pads=SAME, strides=[1, 2]),
    "dilation": inner(pads=[4] * 4, dilations=[4, 4]),
    "max pooling 4x4 with stride 2: only 2x2 with stride 2": pooled(kernel_shape=[4, 4], strides=[2, 2], pads=SAME),
    "it needs padding 'same'": pooled(kernel_shape=[2, 2], strides=[2, 2], pads=SAME),
    "2048 inputs at the most, not 2592": wide_dense(),
    "its Clip starts at -1.0, not at 0": clipped_dense(),
    "its slopes differ": uneven_slopes(),
    "transposed convolution has kernel 3 or 4 and stride 2": transposed(strides=[2, 2]),
    "remembers 2 to 10 frames, not 11": over_time(11),
    "a frame sees only those before it, so 2 at the start and none at the end": over_time(3, pads=[1, 0, 0, 1, 0, 0]),
    "strides or dilations over time": over_time(3, dilations=[2, 1, 1]),
    "only a convolution over time (axis 2) alone remembers frames": over_time(3, (3, 3), pads=[2, 1, 1, 0, 1, 1]),
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


def joined(net: Builder, x: str) -> str:
    return net.op("Concat", *(net.op("Relu", net.conv(x, (8, 4), pads=SAME)) for _ in range(2)), axis=1)


def halved(net: Builder, x: str) -> str:
    x = net.op("Relu", net.conv(x, (8, 8), pads=SAME))
    return net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (joined, "concat0 (Concat): must be followed by a convolution"),
        (halved, "maxpool0 (MaxPool): max pooling needs a convolution after it"),
    ],
)
def test_what_the_host_runs_does_not_follow(make: Any, line: str) -> None:
    """The mapper wants a convolution after these: one that the chip refuses is none, so that its part ends before."""
    net, x = inner(pads=SAME)
    x = make(net, x)
    told = reasons(net, "akida2", net.op("Relu", net.conv(x, (8, 4), pads=[4] * 4, dilations=[4, 4])))
    assert "(Conv): dilation" in told
    assert any(found.startswith(line) for found in told.splitlines())
    net, x = inner(pads=SAME)
    x = make(net, x)
    assert not reasons(net, "akida2", net.op("Relu", net.conv(x, (8, 4), pads=SAME)))


def test_uint8_enters_only_as_an_image() -> None:
    net, x = first(2, pads=SAME)
    assert "uint8 enters only through a convolution" in reasons(net, "akida2", x, input_dtype="uint8")
