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
import onnx
import onnx_ir as ir

from quaint.floatmodel import FloatModel, extract
from quaint.lower import Lowering
from quaint.quantizers.equalize import Equalize
from quaint.quantizers.ranges import Ranges
from quaint.quantizers.weights import WEIGHTED, array, output_axis, private, replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.numerics import QuantParams, QuantSpec
    from quaint.partition import Plan
    from quaint.patterns import Block
    from quaint.scales import Range

    Arrays = dict[str, NDArray[Any]]

#: Samples whose activations are held at once: means over every pixel need few.
SAMPLES = 16


class BiasCorrection(Ranges):
    """Chooses scales from the ranges, then corrects the biases for them."""

    def prepare(self, plan: Plan, samples: Mapping[str, NDArray[Any]]) -> None:
        """Remember a few samples."""
        super().prepare(plan, samples)
        self._samples = {name: values[:SAMPLES] for name, values in samples.items()}

    def choose(
        self, plan: Plan, specs: Mapping[str, QuantSpec | None], ranges: Mapping[str, Range]
    ) -> dict[str, QuantParams]:
        """Parameters as of ``Ranges``; changes the biases of ``plan.model``."""
        params = super().choose(plan, specs, ranges)
        lowering = Lowering(plan.target, plan.config, plan=plan, params=dict(params), ranges=ranges)
        real: Arrays = FloatModel(plan.model, plan.inputs).run(self._samples)
        rounded = {name: _rounded(values, params[name]) for name, values in real.items()}
        for index, block in enumerate(plan.blocks):
            block.pattern.lower(block, lowering)
            _advance(plan, block, lowering, real, rounded)
            read = {name for later in plan.blocks[index + 1 :] for name in later.inputs}
            for name in real.keys() - read:
                del real[name], rounded[name]
        return params


class EqualizeBiasCorrection(Equalize, BiasCorrection):
    """Equalizes weights, then corrects the biases for the scales."""


def _advance(plan: Plan, block: Block, lowering: Lowering, real: Arrays, rounded: Arrays) -> None:
    """Run a block in float and with rounded numbers, correcting its bias between the two."""
    node, weight = block.nodes[0], lowering.params.get(f"{block.name}/weight")
    if node.op_type not in WEIGHTED or not private(node) or weight is None:
        real |= _run(plan.model, block.nodes, block.outputs, real)
        made = _run(plan.model, block.nodes, block.outputs, rounded)
    else:
        sums, exact = node.outputs[0].name or "", array(node, 1)
        wanted = _run(plan.model, (node,), (sums,), real)[sums]
        real |= _run(plan.model, block.nodes, block.outputs, real)
        weight = _by_output(weight, node)
        replace(node, 1, weight.dequantize(weight.quantize(exact, plan.target.rounding)))
        got = _run(plan.model, (node,), (sums,), rounded)[sums]
        others = tuple(axis for axis in range(got.ndim) if axis != 1)
        replace(node, 2, array(node, 2) - (got - wanted).mean(axis=others, dtype=np.float64))
        made = _run(plan.model, block.nodes, block.outputs, rounded)
        replace(node, 1, exact)
    rounded |= {name: _rounded(values, lowering.params[name]) for name, values in made.items()}


def _by_output(weight: QuantParams, node: ir.Node) -> QuantParams:
    """Parameters for the weights as ONNX arranges them: a chip may have its output channels along another axis."""
    return weight if weight.axis is None else dataclasses.replace(weight, axis=output_axis(node))


def _run(model: ir.Model, nodes: Sequence[ir.Node], outputs: Sequence[str], values: Arrays) -> Arrays:
    """Some nodes of a float model, on what they read."""
    entering, data = extract(model, nodes, outputs)
    part = FloatModel(ir.from_proto(onnx.ModelProto.FromString(data)))
    return part.run({name: values[name] for name in entering})


def _rounded(values: NDArray[Any], params: QuantParams) -> NDArray[Any]:
    """Reals as the integers stand for them; one sample at a time, since the arithmetic is in 64 bits."""
    made = np.empty(values.shape, np.float32)
    for i in range(len(values)):
        made[i : i + 1] = params.dequantize(params.quantize(values[i : i + 1]))
    return made
