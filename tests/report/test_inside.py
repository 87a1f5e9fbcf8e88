"""Steps that saturate inside layers, and scales of weights that lose bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quaint.config import Config
from quaint.integer import IntegerModel, Layer
from quaint.numerics import IntType, QuantParams, QuantSpec, Rounding
from quaint.quantized import Quantized
from quaint.report.inside import saturations, weight_scales
from quaint.simulators.counting import Counting
from quaint.target import Target

INT8 = IntType(8, signed=True)
SPEC = QuantSpec(INT8, axis=0)


def narrow(k: Any, x: Any, *, weight: Any, bits: int) -> Any:
    """A product, a buffer of ``bits`` bits, a ReLU, 8 bits."""
    limit = 1 << (bits - 1)
    buffered = k.clip(k.matmul(x, weight), -limit, limit - 1)
    return k.clip(k.shift_right(k.clip(buffered, 0, None), 4, Rounding.FLOOR), -128, 127)


def quantized(weight: Any, bits: int = 12) -> Quantized:
    target = Target("toy", "a toy", "quaint.toy", (), SPEC, SPEC, kernels={"narrow": narrow})
    layer = Layer("narrow", ("x",), ("y",), {"weight": np.array(weight)}, {"bits": bits}, "dense", ("dense",))
    tensors = {name: QuantParams(np.ones(()), INT8) for name in ("x", "y")}
    shapes = {"x": (None, 2), "y": (None, len(np.array(weight)[0]))}
    return Quantized(IntegerModel("m", ("x",), ("y",), (layer,), tensors, shapes, "quaint.toy"), target, Config())


def test_only_steps_inside_a_layer_that_change_something_are_told() -> None:
    x = np.array([[100, 100], [1, 1], [-100, -100], [0, 0]], np.int8)
    (step,) = saturations(quantized([[100], [100]]), {"x": x})
    assert (step.layer, step.bits, step.saturated) == ("dense", 12, 0.5)  # 20000 and -20000, not 200 and 0
    assert saturations(quantized([[100], [100]], bits=16), {"x": x}) == []


def test_wraps_and_running_sums_are_steps() -> None:
    k = Counting()
    k.wrap(np.array([5, 300]), 8)
    k.saturating_sum(np.array([[100, 100, -100], [1, 2, 3]]), (1,), -128, 127, keepdims=False)
    k.clip(np.array([7, -7]), 0, None)
    k.clip(np.array([7, -7]), -6, 6)
    assert k.steps == [(8, 1, 2), (8, 1, 2)]


@pytest.mark.parametrize(
    ("weight", "use", "poor"), [([[127, 64], [0, 1]], 64 / 127, 0), ([[127, 3], [5, -9]], 9 / 127, 1)]
)
def test_filters_that_leave_their_integers_unused(weight: list[list[int]], use: float, poor: int) -> None:
    (scales,) = weight_scales(quantized(weight))
    assert (scales.layer, scales.bits, scales.use, scales.poor) == ("dense", 8, use, poor)
