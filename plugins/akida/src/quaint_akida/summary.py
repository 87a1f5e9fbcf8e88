"""The layers of a quantized model as QuantizeML lists them: each float layer with its numbers, the quantizers at both ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quaint.integer import DEQUANTIZER, HOST, INPUT_QUANTIZER
from quaint_akida.q_config import ends

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from quaint.integer import Layer
    from quaint.quantized import Quantized

#: What the front end for Keras adds to a layer's name where it changes the layout.
LAYOUTS = ("/channels_first", "/channels_last")


@dataclass(frozen=True)
class Row:
    """A line of the list.

    Args:
        name: the float layer, or what stands at an end.
        kind: the layer of the chip that computes it.
        output: integers that leave it, and for an end their scale.
        shape: of what leaves it, without the batch; None inside a layer of the chip.
        parameters: weights, biases, and two numbers (mantissa and shift) for each scale of its output quantizer.
    """

    name: str
    kind: str
    output: str
    shape: tuple[int | None, ...] | None
    parameters: int


def rows(model: Quantized) -> Iterator[Row]:
    """A line for each layer, in the order of execution."""
    for layer in model.integer.layers:
        shape = tuple(model.integer.shapes[layer.outputs[0]][1:])
        if layer.op == INPUT_QUANTIZER:
            yield Row(layer.name, "InputQuantizer", _entering(model, layer), shape, 0)
        elif layer.op == DEQUANTIZER:
            yield Row("dequantizer", "Dequantizer", "float32", shape, 0)
        elif layer.op == HOST:
            yield from (Row(name, "host", "float32", None, 0) for name in layer.nodes)
        else:
            yield from _nodes(model, layer, shape)


def _entering(model: Quantized, layer: Layer) -> str:
    """``8 bits unsigned, scale [1 1 1], offset [0 0 0]``: scales count integers a unit, as the chip multiplies."""
    dtype = model.integer.tensors[layer.outputs[0]].dtype
    factor, offset = layer.constants["factor"], layer.constants["zero_point"]
    sign = "signed" if dtype.signed else "unsigned"
    return f"{dtype.bits} bits {sign}, scale {_listed(factor)}, offset {_listed(offset)}"


def _listed(values: NDArray[np.generic]) -> str:
    return f"[{' '.join(f'{value:g}' for value in values.reshape(-1).tolist())}]"


def _nodes(model: Quantized, layer: Layer, shape: tuple[int | None, ...]) -> Iterator[Row]:
    names = [name for name in layer.nodes if not name.endswith(LAYOUTS)]
    if not names:
        return
    main, last = ends(layer)
    weights = sum(
        layer.constants[name].size for name in ("weight", "pointwise", "bias", "threshold") if name in layer.constants
    )
    params = model.integer.tensors[layer.outputs[0]]
    quantizer = 2 * params.scale.size if "output_shift" in layer.constants or "step" in layer.constants else 0
    for name in names:
        parameters = weights * (name == main) + quantizer * (name == last)
        ended = name == names[-1]
        yield Row(name, layer.op, str(params.dtype) if ended else "", shape if ended else None, parameters)
