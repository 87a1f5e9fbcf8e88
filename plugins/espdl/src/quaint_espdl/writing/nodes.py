"""Integer layers as nodes of the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint_espdl.writing.elementwise import add, clip, compare, lookup, multiply, prelu, requantize, wide_lookup
from quaint_espdl.writing.matmul import matmul
from quaint_espdl.writing.movement import concat, reshape, transpose
from quaint_espdl.writing.normalization import lp_norm, norm, quotient, softmax
from quaint_espdl.writing.pooling import average_pool, global_average_pool, max_pool
from quaint_espdl.writing.products import conv, conv_transpose, gemm
from quaint_espdl.writing.recurrent import recurrent
from quaint_espdl.writing.reductions import REDUCING, reduction
from quaint_espdl.writing.resize_linear import resize_linear
from quaint_espdl.writing.selection import pad, take
from quaint_espdl.writing.shuffles import rearrange

if TYPE_CHECKING:
    from collections.abc import Callable

    from quaint.integer import Layer
    from quaint_espdl.writing.graph import GraphWriter

#: Layer -> how it is written.
WRITERS: dict[str, Callable[[GraphWriter, Layer], None]] = {
    **{function.__name__: function for function in (
        conv, conv_transpose, gemm, max_pool, average_pool, global_average_pool,
        add, multiply, prelu, clip, lookup, requantize, concat, reshape, transpose, take, pad, rearrange, matmul,
    )},
    **dict.fromkeys(REDUCING, reduction),
    **dict.fromkeys(("Softmax", "LogSoftmax"), softmax),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), norm),
    "LpNormalization": lp_norm,
    **dict.fromkeys(("GRU", "LSTM"), recurrent),
    **dict.fromkeys(("Div", "Mod", "Pow"), quotient),
    "WideLookup": wide_lookup,
    "Compare": compare,
    "ResizeLinear": resize_linear,
}  # fmt: skip
