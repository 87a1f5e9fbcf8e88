"""Wren keeps the contract of a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from quaint_wren.target import INT8, WREN

from quaint.integer import IntegerModel, Layer
from quaint.layers.output import requantization
from quaint.numerics import QuantParams
from quaint.testing import TargetConformance

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quaint.testing.conformance import Golden


class TestWren(TargetConformance):
    """Every level, with vectors for the layer of its own."""

    target = "wren"

    def golden(self) -> Iterable[Golden]:
        """Worked out by hand from x * clip(x + 3, 0, 6) / 6 at steps of 1/32."""
        step = QuantParams(np.float64(2**-5), INT8)
        constants, attributes = requantization(WREN, step.scale**2 / 6, step)
        layer = Layer("hard_swish", ("x",), ("y",), constants, attributes | {"three": 96, "six": 192}, name="unit")
        shapes = dict.fromkeys("xy", (None, 7))
        model = IntegerModel("unit", ("x",), ("y",), (layer,), {"x": step, "y": step}, shapes, WREN.domain)
        x = np.array([[-128, -96, -48, 0, 48, 96, 127]], np.int8)
        yield model, {"x": x}, {"y": [[0, 0, -12, 0, 36, 96, 127]]}
