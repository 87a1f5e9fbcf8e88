"""Integer layers as nodes of the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint_espdl.writing.elementwise import add, clip, lookup, multiply, requantize
from quaint_espdl.writing.movement import concat, reshape, transpose
from quaint_espdl.writing.pooling import average_pool, global_average_pool, max_pool
from quaint_espdl.writing.products import conv, conv_transpose, gemm

if TYPE_CHECKING:
    from collections.abc import Callable

    from quaint.integer import Layer
    from quaint_espdl.writing.graph import GraphWriter

#: Layer -> how it is written.
WRITERS: dict[str, Callable[[GraphWriter, Layer], None]] = {
    function.__name__: function
    for function in (
        conv, conv_transpose, gemm, max_pool, average_pool, global_average_pool,
        add, multiply, clip, lookup, requantize, concat, reshape, transpose,
    )
}  # fmt: skip
