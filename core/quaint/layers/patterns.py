"""Layers that most chips have, lowered to core's kernels under the target's number formats.

A chip's plugin lists the ones that it has, as they are or subclassed with its own ``check``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.layers.elementwise import Activation, Add, Mul, Table
from quaint.layers.movement import Concat, Move
from quaint.layers.pooling import AveragePool, Averaging, GlobalAveragePool, MaxPool
from quaint.layers.products import Computing, Conv, ConvTranspose, Gemm, MatMul, attributes
from quaint.layers.sharing import Aligned, Passive

if TYPE_CHECKING:
    from quaint.patterns import Pattern

#: Everything in the order in which it is tried: the longest first.
STANDARD: tuple[type[Pattern], ...] = (
    Conv, ConvTranspose, Gemm, MatMul, Add, Concat, MaxPool, AveragePool, GlobalAveragePool, Table, Mul, Activation, Move,
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
    "Gemm",
    "GlobalAveragePool",
    "MatMul",
    "MaxPool",
    "Move",
    "Mul",
    "Passive",
    "Table",
    "attributes",
]
