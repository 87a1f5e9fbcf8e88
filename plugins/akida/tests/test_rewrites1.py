"""Rewrites of Akida 1: they keep the float function, and what was refused before is on the chip after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from akida_nets import SAME, dense, entrance, noise, ops, quantize, reasons

from quaint import pipeline
from quaint.config import Config
from quaint.floatmodel import FloatModel
from quaint.rewrite import rewrite
from quaint.testing.builder import Builder

if TYPE_CHECKING:
    from collections.abc import Callable

CHIP = pipeline.find_target("akida1")


def inner(kernel: tuple[int, int], pads: list[int], *, size: int = 12, **attributes: Any) -> tuple[Builder, str]:
    """A convolution inside, and a dense layer."""
    net = Builder("inner")
    x = net.op("Relu", net.conv(entrance(net, size=size), (8, 8), kernel, pads=pads, **attributes))
    return net, dense(net, net.op("GlobalAveragePool", x), 8)


def first(kernel: tuple[int, int], pads: list[int], **attributes: Any) -> tuple[Builder, str]:
    net = Builder("first")
    x = net.op("Relu", net.conv(net.input(3, 12, 12), (3, 8), kernel, pads=pads, **attributes))
    return net, dense(net, net.op("GlobalAveragePool", x), 8)


def separable(kernel: tuple[int, int], pads: list[int], **attributes: Any) -> tuple[Builder, str]:
    net = Builder("separable")
    x = net.conv(entrance(net), (8, 8), kernel, pads=pads, group=8, **attributes)
    return net, dense(net, net.op("GlobalAveragePool", net.op("Relu", net.conv(x, (8, 8), (1, 1)))), 8)


NETS: dict[str, tuple[Callable[..., tuple[Builder, str]], tuple[Any, ...], dict[str, Any], str]] = {
    "even": (inner, ((2, 2), [0, 0, 1, 1]), {}, "kernel is 1, 3, 5 or 7, not 2; its kernel is 3x3"),
    "even at the start": (inner, ((4, 4), [2, 2, 1, 1]), {}, "not 4; its kernel is 5x5"),
    "oblong": (inner, ((3, 2), [1, 0, 1, 1]), {}, "kernel 3x2 is not square; its kernel is 3x3"),
    "a row": (inner, ((1, 5), [0, 2, 0, 2]), {}, "kernel 1x5 is not square; its kernel is 5x5"),
    "dilated": (inner, ((3, 3), [2] * 4), {"dilations": [2, 2]}, "dilation; its kernel is 5x5"),
    "stride": (inner, ((2, 2), [0] * 4), {"strides": [2, 2]}, "not 2; its kernel is 3x3"),
    "pointwise stride": (inner, ((1, 1), [0] * 4), {"strides": [2, 2], "size": 11}, "its kernel is 3x3"),
    "groups": (inner, ((3, 3), SAME), {"group": 2}, "2 groups; one now"),
    "input": (first, ((2, 2), [0, 0, 1, 1]), {}, "the input layer's kernel is 3, 5 or 7, not 2; its kernel is 3x3"),
    "input stride": (first, ((2, 2), [0] * 4), {"strides": [2, 2]}, "not 2; its kernel is 3x3"),
    "input as in PyTorch": (first, ((3, 3), SAME), {"strides": [2, 2]}, "is not 'same'"),
    "depthwise": (separable, ((1, 3), [0, 1, 0, 1]), {}, "kernel 1x3 is not square; its kernel is 3x3"),
    "scale": (separable, ((1, 1), [0] * 4), {}, "depthwise kernel is 3, 5 or 7, not 1; its kernel is 3x3"),
}


@pytest.mark.parametrize("name", NETS)
def test_the_float_function_stays_and_the_chip_has_it(name: str) -> None:
    make, arguments, attributes, line = NETS[name]
    net, output = make(*arguments, **attributes)
    before = pipeline.canonical(pipeline.load_model(net.build(output)), Config())
    after = before.clone()
    (found,) = rewrite(after, CHIP, Config())
    assert line in found
    x = net.samples(4)
    truth, result = (next(iter(FloatModel(model).run(x).values())) for model in (before, after))
    np.testing.assert_allclose(result, truth, rtol=1e-5, atol=1e-5)
    made, samples, floats = quantize(*(net, "akida1", output), weight_bits=4, quantizer="ranges")
    assert "host" not in ops(made)
    assert noise(made, samples, floats) < 0.2


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(((9, 9), [4] * 4), "kernel is 1, 3, 5 or 7, not 9"), (((5, 5), [2] * 4), "stride 2 with kernel 5")],
)
def test_what_zeros_cannot_mend_is_refused(arguments: tuple[Any, ...], reason: str) -> None:
    net, output = inner(*arguments, **({"strides": [2, 2]} if "stride" in reason else {}))
    assert reason in reasons(net, "akida1", output)
