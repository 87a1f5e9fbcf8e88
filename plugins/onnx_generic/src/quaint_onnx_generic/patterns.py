"""Core's layers where onnxruntime's arithmetic differs from them.

A sum of products is scaled by one float32 factor, ``float32(float32(s_x * s_w) / s_y)``, as QLinearConv does it. Between two
scales there is no factor: DequantizeLinear and QuantizeLinear each round in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quaint.integer import Layer
from quaint.layers import patterns as core
from quaint.layers.output import requantization
from quaint.numerics import Rounding

if TYPE_CHECKING:
    from quaint.arithmetic import Arithmetic
    from quaint.lower import Lowering
    from quaint.numerics import QuantParams
    from quaint.patterns import Pattern

V = TypeVar("V")


def dequantize_quantize(
    k: Arithmetic[V],
    x: V,
    *,
    scale: Any,
    input_zero_point: int,
    output_scale: Any,
    zero_point: int,
    low: int,
    high: int,
) -> V:
    """DequantizeLinear, then QuantizeLinear: ``clip(round(float32((x - z_x) * s_x) / s_y) + z_y, low, high)`` in float32."""
    real = k.dequantize(x, scale, input_zero_point, axis=None)
    return k.quantize(real, output_scale, zero_point, low, high, Rounding.HALF_EVEN, divide=True, axis=None)


KERNELS = {"dequantize_quantize": dequantize_quantize}


class Requantizing(core.Aligned):
    """Inputs of another scale go through DequantizeLinear and QuantizeLinear."""

    def convert(self, name: str, aligned: str, source: QuantParams, out: QuantParams, context: Lowering) -> Layer:
        constants = {"scale": source.scale.astype(np.float32), "output_scale": out.scale.astype(np.float32)}
        attributes = {
            "input_zero_point": int(source.zero_point),
            "zero_point": int(out.zero_point),
            "low": out.dtype.low,
            "high": out.dtype.high,
        }
        return Layer("dequantize_quantize", (name,), (aligned,), constants, attributes)


class Add(Requantizing, core.Add):
    """Sum on one scale."""


class Concat(Requantizing, core.Concat):
    """Tensors of one scale, joined."""


class GlobalAveragePool(core.GlobalAveragePool):
    """Average over the map: the factor is ``s_x / float32(s_y * area)``, as QLinearGlobalAveragePool has it."""

    def average(
        self, context: Lowering, source: QuantParams, area: Any, out: QuantParams
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        _, attributes = requantization(context.target, np.asarray(source.scale / area), out)
        factor = np.float32(source.scale) / (np.float32(out.scale) * np.float32(area))
        return {"multiplier": np.asarray(factor, np.float32)}, attributes


_OWN: dict[str, type[Pattern]] = {cls.__name__: cls for cls in (Add, Concat, GlobalAveragePool)}
PATTERNS: tuple[type[Pattern], ...] = tuple(_OWN.get(cls.__name__, cls) for cls in core.STANDARD)
