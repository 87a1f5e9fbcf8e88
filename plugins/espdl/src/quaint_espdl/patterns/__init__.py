"""What ESP-DL runs: core's layers with the runtime's restrictions and arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint_espdl.patterns.elementwise import Activation, Add, Mul, Table
from quaint_espdl.patterns.movement import Concat, Move
from quaint_espdl.patterns.pooling import AveragePool, GlobalAveragePool, MaxPool
from quaint_espdl.patterns.products import Conv, ConvTranspose, Gemm, MatMul

if TYPE_CHECKING:
    from quaint.patterns import Pattern

#: In the order in which they are tried: the longest first.
PATTERNS: tuple[type[Pattern], ...] = (
    Conv, ConvTranspose, Gemm, MatMul, Add, Concat, MaxPool, AveragePool, GlobalAveragePool, Table, Mul, Activation, Move,
)  # fmt: skip
