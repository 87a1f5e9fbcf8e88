"""Convolutions in groups, which the runtime has not: written as one group, with zeros for what other groups read.

That is exact: a product with zero changes no sum. It costs as many times the multiplications and bytes as there are groups.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.integer import Layer
from quaint.layers import products

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from quaint.lower import Lowering
    from quaint.patterns import Block, CheckContext


def dense(weight: NDArray[Any], groups: int) -> NDArray[Any]:
    """[M, C / groups, ...] as [M, C, ...], zeros where a filter does not read."""
    filters, channels = len(weight) // groups, weight.shape[1]
    whole = np.zeros((len(weight), channels * groups, *weight.shape[2:]), weight.dtype)
    for group in range(groups):
        rows = slice(group * filters, (group + 1) * filters)
        whole[rows, group * channels : (group + 1) * channels] = weight[rows]
    return whole


def groups_of(block: Block) -> int:
    """The groups of the block's convolution."""
    return int(graph.attribute(block.nodes[0], "group", 1))


def _warn_of_cost(layer: Layer, groups: int, context: Lowering, name: str) -> None:
    weight = layer.constants["weight"]
    context.warnings.append(
        f"layer {name!r}: {groups} groups become one, since the runtime has none: {groups} times the multiplications, "
        f"{weight.nbytes} bytes of weights instead of {weight.nbytes // groups}"
    )


class DenseConv(products.Conv):
    """Groups of more than one channel, or with several filters for each, as one group."""

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        layer = super().lower(block, context)
        assert isinstance(layer, Layer)
        weight, groups = layer.constants["weight"], groups_of(block)
        if groups == 1 or weight.shape[:2] == (groups, 1):
            return layer
        constants = {**layer.constants, "weight": dense(weight, groups)}
        layer = replace(layer, constants=constants, attributes={**layer.attributes, "group": 1})
        _warn_of_cost(layer, groups, context, block.name)
        return layer


class DenseConvTranspose(products.ConvTranspose):
    """Groups as one, except those of one channel and one filter; every output channel may have a scale of its own."""

    channel_axis = 0

    def check(self, context: CheckContext, *_: Any, **bindings: Any) -> bool:
        return products.Computing.check(self, context, **bindings)

    def weights(self, block: Block) -> NDArray[np.float64]:
        """[M, C / groups, ...] of ONNX's [C, M / groups, ...], or [M, C, ...]."""
        weight, groups = block.constant("weight"), groups_of(block)
        parts = weight.reshape(groups, len(weight) // groups, *weight.shape[1:]).swapaxes(1, 2)
        filters = parts.reshape(-1, *parts.shape[2:])
        return filters if _is_depthwise(block) else dense(filters, groups)

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        layer = super().lower(block, context)
        assert isinstance(layer, Layer)
        if _is_depthwise(block):
            return layer
        weight, name = layer.constants["weight"].swapaxes(0, 1), f"{block.name}/weight"
        params = context.params[name]
        context.refine(name, replace(params, axis=None if params.axis is None else 1))
        constants = {**layer.constants, "weight": np.ascontiguousarray(weight)}
        layer = replace(layer, constants=constants, attributes={**layer.attributes, "group": 1})
        if groups_of(block) > 1:
            _warn_of_cost(layer, groups_of(block), context, block.name)
        return layer


def _is_depthwise(block: Block) -> bool:
    groups = groups_of(block)
    return groups > 1 and block.constant("weight").shape[:2] == (groups, 1)
