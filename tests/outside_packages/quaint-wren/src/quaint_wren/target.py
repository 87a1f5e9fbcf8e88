"""Wren, as data."""

from __future__ import annotations

from quaint.layers import patterns
from quaint.numerics import IntType, QuantSpec, ScaleKind
from quaint.target import Target
from quaint_wren.hard_swish import HardSwish, hard_swish

INT8 = IntType(8, signed=True)

WREN = Target(
    name="wren",
    summary="Wren: int8, a unit for hard swish",
    domain="quaint.wren",
    patterns=(patterns.Conv, patterns.Gemm, patterns.GlobalAveragePool, patterns.Move, HardSwish),
    activation=QuantSpec(INT8, ScaleKind.POWER_OF_TWO),
    weight=QuantSpec(INT8, ScaleKind.POWER_OF_TWO),
    kernels={"hard_swish": hard_swish},
)
