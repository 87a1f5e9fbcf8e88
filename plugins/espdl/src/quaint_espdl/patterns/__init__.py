"""What ESP-DL runs: core's layers with the runtime's restrictions and arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint_espdl.patterns.comparisons import Compare
from quaint_espdl.patterns.elementwise import Activation, Add, Mul
from quaint_espdl.patterns.matmul import MatMulTensors
from quaint_espdl.patterns.movement import (
    Concat,
    Gather,
    Move,
    Pad,
    Pixels,
    Repeat,
    ResizeNearest,
    ReverseSequence,
    Slice,
    WrittenOut,
)
from quaint_espdl.patterns.normalization import LayerNormalization, LpNormalization, RMSNormalization, Softmax
from quaint_espdl.patterns.pooling import AveragePool, GlobalAveragePool, MaxPool
from quaint_espdl.patterns.products import Conv, ConvTranspose, Gemm, MatMul
from quaint_espdl.patterns.quotients import Quotient
from quaint_espdl.patterns.recurrent import Recurrent
from quaint_espdl.patterns.reductions import GlobalMaxPool, Reduce, ReduceMax, ReduceMean, ReduceSum
from quaint_espdl.patterns.resize_linear import ResizeLinear
from quaint_espdl.patterns.tables import PRelu, SharedClip, Table, Unregistered, WideSlope

if TYPE_CHECKING:
    from quaint.patterns import Pattern

#: In the order in which they are tried: the longest first.
PATTERNS: tuple[type[Pattern], ...] = (
    Conv, ConvTranspose, Gemm, MatMul, Add, Concat, MaxPool, AveragePool, GlobalAveragePool,
    RMSNormalization, LpNormalization, LayerNormalization, Softmax, Quotient,
    PRelu, WideSlope, Table, SharedClip, Mul, Activation, WrittenOut, Move, Unregistered,
    Slice, Gather, Repeat, ReverseSequence, ResizeLinear, ResizeNearest, Pad, Pixels,
    Recurrent, MatMulTensors, Compare, GlobalMaxPool, ReduceSum, ReduceMean, ReduceMax, Reduce,
)  # fmt: skip
