"""Bias correction: what quantization adds to the mean of every channel is taken off the bias.

Rounded weights on rounded inputs shift the mean of a layer's outputs, and later layers amplify that. The shift before the
activation is measured on samples and subtracted, layer by layer in order of execution, so that each layer sees what is left
of the errors before it. Source: M. Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
ICCV 2019, section 4.2; the empirical form, which needs no batch normalization.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.quantizers.ranges import Ranges
from quaint.quantizers.walk import Walk, fixed_batch
from quaint.quantizers.weights import array, replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.numerics import QuantParams, Rounding
    from quaint.partition import Plan
    from quaint.quantizers.walk import Product
    from quaint.scales import Range

    Floats = NDArray[np.float64]

#: Samples whose activations are held at once: means over every pixel need few.
SAMPLES = 16
#: What the largest tensor of all of them may take as float32.
BYTES = 48 << 20


class BiasCorrection(Ranges):
    """Corrects the biases for the scales."""

    samples = SAMPLES

    def prepare(self, plan: Plan, samples: Mapping[str, NDArray[Any]]) -> None:
        """Remember a few samples."""
        super().prepare(plan, samples)
        fitting = BYTES // max(graph.sample_bytes(plan.values[name]) for name in plan.edges)
        batch = fixed_batch(plan) or 1
        count = max(batch, min(self.samples, fitting) // batch * batch)
        self._samples = {name: values[:count].copy() for name, values in samples.items()}

    def refine(
        self, plan: Plan, params: Mapping[str, QuantParams], ranges: Mapping[str, Range]
    ) -> dict[str, QuantParams]:
        """The same parameters; changes the biases of ``plan.model``."""
        walk = Walk(plan, params, ranges, self._samples)
        walk.go(lambda product: self._correct(walk, product))
        return dict(params)

    def _correct(self, walk: Walk, product: Product) -> NDArray[Any]:
        """Take the shift of a product's mean off its bias; gives the weights that its integers stand for."""
        weights = product.rounded
        if weights is None:
            weights = array(product.node, 1)
            if product.weight is not None:
                weights = _nearest(weights, product.weight, product.node, walk.plan.target.rounding)
        correct_bias(walk, product, weights)
        return weights


def correct_bias(walk: Walk, product: Product, weights: NDArray[Any]) -> None:
    """Take the shift of a product's mean, with these weights, off its bias."""
    shift = walk.mean(product, weights) - product.mean
    replace(product.node, 2, array(product.node, 2) - shift)


def _nearest(exact: Floats, weight: QuantParams, node: ir.Node, rounding: Rounding) -> Floats:
    """The reals that the nearest integers stand for; a chip may count output channels along another axis than ONNX."""
    if weight.axis is None:
        return weight.dequantize(weight.quantize(exact, rounding))
    if node.op_type != "ConvTranspose":
        weight = dataclasses.replace(weight, axis=0)
        return weight.dequantize(weight.quantize(exact, rounding))
    groups = int(graph.attribute(node, "group", 1))  # ONNX has [in, out / groups, ...]
    each = [dataclasses.replace(weight, scale=scale, axis=1) for scale in np.split(weight.scale, groups)]
    parts = zip(each, np.split(exact, groups), strict=True)
    return np.concatenate([params.dequantize(params.quantize(part, rounding)) for params, part in parts])
