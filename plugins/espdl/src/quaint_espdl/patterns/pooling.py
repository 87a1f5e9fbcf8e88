"""Averages and maxima over windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.layers import patterns as core
from quaint.layers import products
from quaint.layers.kernels import window_counts
from quaint.layers.output import requantization

if TYPE_CHECKING:
    from quaint.lower import Lowering
    from quaint.numerics import QuantParams
    from quaint.patterns import Block, CheckContext
from quaint_espdl.patterns.widths import Observed, OneWidth


class Averages(core.Averaging):
    """Averages go through float32: the sum times ``2**e_in * (1 / area) * 2**-e_out``, each factor rounded to float32."""

    def average(
        self, context: Lowering, source: QuantParams, area: Any, out: QuantParams
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        _, attributes = requantization(context.target, np.asarray(source.scale), out)
        inverse = np.float32(1) / np.asarray(area, np.float32)
        multiplier = np.float32(source.scale) * inverse * np.float32(1 / out.scale)
        return {"multiplier": np.asarray(multiplier, np.float32)}, attributes


class AveragePool(OneWidth, Averages, core.AveragePool):
    """One- or two-dimensional average pooling; the runtime divides every window by the kernel's whole area."""

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        node = block.nodes[0]
        if any(step != 1 for step in graph.attribute(node, "dilations", ())):
            return context.fail("average pooling with dilation")
        size = [n for n in (graph.dims(node.inputs[0]) or ())[2:] if isinstance(n, int)]
        wish = products.attributes(
            block, "AveragePool", ("kernel_shape", "strides", "pads", "ceil_mode", "count_include_pad")
        )
        if not wish["count_include_pad"]:
            ceil = bool(wish["ceil_mode"])
            counts = window_counts(size, wish["kernel_shape"], wish["strides"], wish["pads"], ceil_mode=ceil)
            if (counts != np.prod(wish["kernel_shape"])).any():
                return context.fail("averages without the border: the runtime counts it (count_include_pad = 1)")
        return super().check(context, block=block, **bindings)


class GlobalAveragePool(OneWidth, Averages, core.GlobalAveragePool):
    """Average over the whole map."""


class MaxPool(Observed, core.MaxPool):
    """Max pooling without dilation."""

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        if any(step != 1 for step in graph.attribute(block.nodes[0], "dilations", ())):
            return context.fail("max pooling with dilation")
        return super().check(context, block=block, **bindings)
