"""Weights before and after quantization: errors, and channels that are dead or stand out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import graph
from quaint.macs import PRODUCTS
from quaint.report.metrics import Noise, dequantized

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.integer import Layer
    from quaint.quantized import Quantized

#: Below this share of the layer's largest weight a channel counts as dead; that many times the median one stands out.
DEAD, OUTLIER = 2.0**-16, 8.0


@dataclass(frozen=True)
class WeightError:
    """The weights of one layer.

    Args:
        layer: its name.
        bits: of its weights.
        noise: noise-to-signal power of the integers' real values against the float weights; None where the chip lays weights
            out in a way that core does not know.
        largest: the largest magnitude of a weight.
        smallest_channel: the largest magnitude in the output channel where that is smallest, dead ones left out.
        dead: output channels that are (almost) zero.
        outliers: output channels whose largest weight is more than 8 times that of the median channel.
    """

    layer: str
    bits: int
    noise: float | None
    largest: float
    smallest_channel: float
    dead: tuple[int, ...]
    outliers: tuple[int, ...]


def weight_errors(quantized: Quantized) -> Iterator[WeightError]:
    """The weights of every layer that has some, against the float source."""
    if quantized.source is None:
        raise ValueError("needs the float source")
    nodes = {node.name: node for node in quantized.source.graph}
    for layer in quantized.integer.integer_layers:
        params = quantized.integer.tensors.get(f"{layer.name}/weight")
        node = next((nodes[name] for name in layer.nodes if nodes[name].op_type in PRODUCTS), None)
        real = None if node is None else graph.constant(node.inputs[1])
        if params is None or node is None or real is None:
            continue
        by_channel = np.abs(_output_first(node, real)).reshape(-1, real.size // _outputs(node, real)).max(axis=1)
        alive = by_channel[by_channel > by_channel.max(initial=0) * DEAD]
        middle = float(np.median(alive)) if alive.size else 0.0
        yield WeightError(
            layer.name,
            params.dtype.bits,
            _noise(quantized, layer, real),
            float(by_channel.max(initial=0)),
            float(alive.min(initial=np.inf)) if alive.size else 0.0,
            tuple(np.flatnonzero(by_channel <= by_channel.max(initial=0) * DEAD).tolist()),
            tuple(np.flatnonzero(by_channel > OUTLIER * middle).tolist()) if middle else (),
        )


def _output_axis(node: ir.Node) -> int:
    """Which axis of the weights, as ONNX has them, counts the outputs."""
    if node.op_type == "Gemm":
        return 0 if graph.attribute(node, "transB", 0) else 1
    return {"Conv": 0, "ConvTranspose": 1}.get(node.op_type, -1)


def _outputs(node: ir.Node, weight: NDArray[Any]) -> int:
    return int(weight.shape[_output_axis(node)])


def _output_first(node: ir.Node, weight: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(weight, _output_axis(node), 0)


def _noise(quantized: Quantized, layer: Layer, real: NDArray[Any]) -> float | None:
    """Compare in whichever order of the first axes a chip keeps its weights: of those that fit, the nearest is the right one."""
    params = quantized.integer.tensors[f"{layer.name}/weight"]
    found = []
    for integers in _orders(layer.constants["weight"]):
        if params.axis is not None and integers.shape[params.axis] != params.scale.size:
            continue
        for wanted in _orders(real):
            if integers.shape == wanted.shape:
                noise = Noise()
                noise.add(dequantized(integers, params), wanted)
                found.append(noise.ratio)
    return min((ratio for ratio in found if ratio is not None), default=None)


def _orders(weight: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    return (weight, weight.swapaxes(0, 1)) if weight.ndim > 1 else (weight,)


def kernels(model: ir.Model) -> Iterator[tuple[str, NDArray[Any]]]:
    """The weights of every convolution and dense layer by the node's name, float32."""
    for node in model.graph:
        weight = graph.constant(node.inputs[1]) if node.op_type in PRODUCTS else None
        if weight is not None:
            yield node.name or "", np.asarray(weight, np.float32)
