"""Averages and maxima over windows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers import patterns as core
from quaint.layers.constants import own_params
from quaint.layers.output import requantization
from quaint.layers.pooling import divisors

if TYPE_CHECKING:
    from collections.abc import Sequence

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


class WholeAreas(Averages, core.AveragePool):
    """Average pooling; the runtime divides every window by the kernel's whole area.

    It does not look at ``count_include_pad`` (ESP-DL 3.3.9, ``get_pool_args``). Where the border shall not count, the windows
    that reach into it are multiplied by a constant map.
    """

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        if any(step != 1 for step in graph.attribute(block.nodes[0], "dilations", ())):
            return context.fail("average pooling with dilation")
        if (divisors(block) == 0).any():
            return context.fail("average pooling with a window that lies in the border")
        return super().check(context, block=block, **bindings)

    def area(self, block: Block, context: Lowering) -> float:
        """The kernel's."""
        return float(np.prod(graph.attribute(block.nodes[0], "kernel_shape")))

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        pooled = super().lower(block, context)
        assert isinstance(pooled, Layer)
        shares = self.area(block, context) / divisors(block)
        if (shares == 1).all():
            return [pooled]
        (name,) = block.outputs
        counted, border, out = f"{name}_counted", f"{block.name}_border", context.params[name]
        context.define(counted, name, out)
        params = context.params[f"{border}/constant"] = own_params(block, context, shares)
        constant = params.quantize(shares[None, None], context.target.rounding).astype(params.dtype.storage)
        stage, attributes = requantization(context.target, params.scale * out.scale, out)
        constants = {"constant": constant, "multiplier": np.exp2(-stage["shift"]).astype(np.float32)}
        return [
            replace(pooled, outputs=(counted,)),
            Layer("multiply", (counted,), (name,), constants, attributes, border, block.node_names),
        ]


class AveragePool(OneWidth, WholeAreas):
    """One- or two-dimensional average pooling."""


class GlobalAveragePool(OneWidth, Averages, core.GlobalAveragePool):
    """Average over the whole map."""


class MaxPool(Observed, core.MaxPool):
    """Max pooling without dilation."""

    def check(self, context: CheckContext, block: Block, **bindings: Any) -> bool:
        if any(step != 1 for step in graph.attribute(block.nodes[0], "dilations", ())):
            return context.fail("max pooling with dilation")
        return super().check(context, block=block, **bindings)
