"""Layers that most chips have, lowered to core's kernels under the target's number formats.

A chip's plugin lists the ones that it has, as they are or subclassed with its own ``check``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.layers.borders import Pad
from quaint.layers.elementwise import Activation, Add, Mul, PRelu, Table
from quaint.layers.matmul import MatMulTensors
from quaint.layers.movement import Concat, Move
from quaint.layers.pooling import AveragePool, Averaging, GlobalAveragePool, MaxPool
from quaint.layers.products import Computing, Conv, ConvTranspose, Gemm, MatMul, attributes
from quaint.layers.reductions import GlobalMaxPool, ReduceMax, ReduceSum
from quaint.layers.resize import ResizeNearest
from quaint.layers.selection import Gather, Repeat, ReverseSequence, Slice
from quaint.layers.sharing import Aligned, Passive
from quaint.layers.shuffles import Pixels, WrittenOut

if TYPE_CHECKING:
    from quaint.patterns import Pattern

#: Everything in the order in which it is tried: the longest first.
STANDARD: tuple[type[Pattern], ...] = (
    Conv, ConvTranspose, Gemm, MatMul, Add, Concat, MaxPool, AveragePool, GlobalAveragePool, PRelu, Table, Mul, Activation,
    WrittenOut, Move,
    Slice, Gather, Repeat, ReverseSequence, ResizeNearest, Pad, Pixels,
    GlobalMaxPool, ReduceSum, ReduceMax, MatMulTensors,
)  # fmt: skip

__all__ = [
    "STANDARD",
    "Activation",
    "Add",
    "Aligned",
    "AveragePool",
    "Averaging",
    "Computing",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "MatMul",
    "MatMulTensors",
    "MaxPool",
    "Move",
    "Mul",
    "PRelu",
    "Pad",
    "Passive",
    "Pixels",
    "ReduceMax",
    "ReduceSum",
    "Repeat",
    "ResizeNearest",
    "ReverseSequence",
    "Slice",
    "Table",
    "WrittenOut",
    "attributes",
]
