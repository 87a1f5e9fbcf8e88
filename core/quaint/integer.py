"""What a chip computes: layers on integer tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.arithmetic import Kernel
    from quaint.numerics import QuantParams

#: The only layers between reals and integers. ``host`` runs a float ONNX graph, before the former or after the latter.
INPUT_QUANTIZER, DEQUANTIZER, HOST = "input_quantizer", "dequantizer", "host"
EDGE_LAYERS = frozenset({INPUT_QUANTIZER, DEQUANTIZER, HOST})

#: Kernels that rearrange a tensor and compute nothing.
MOVES = frozenset({"reshape", "transpose"})


@dataclass(frozen=True, eq=False)
class Layer:
    """One integer operation.

    Args:
        op: name of the kernel that defines it.
        inputs: tensor names.
        outputs: tensor names.
        constants: arrays, passed to the kernel by name. Integers, or float32 where the kernel says so.
        attributes: plain data (str, int, bool, float, lists of them), passed to the kernel by name.
        name: what reports and messages call it; the float node that it mainly comes from.
        nodes: the float nodes that it computes, by name.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    nodes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))
        object.__setattr__(self, "outputs", tuple(self.outputs))
        object.__setattr__(self, "constants", {k: np.asarray(v) for k, v in sorted(self.constants.items())})
        object.__setattr__(self, "attributes", dict(sorted(self.attributes.items())))

    @property
    def parameter_bytes(self) -> int:
        """Bytes of the constants as stored."""
        return sum(array.nbytes for array in self.constants.values())


@dataclass(frozen=True, eq=False)
class IntegerModel:
    """An integer program.

    Args:
        name: the model's name.
        inputs: names of the tensors that a user feeds: float32 where an ``input_quantizer`` reads them, else integers.
        outputs: names of the tensors that a user gets: float32 after a ``dequantizer``, else integers.
        layers: in the order of execution.
        tensors: how each integer tensor is quantized; float tensors have no entry. ``LAYER/weight`` and ``LAYER/bias`` say it
            of the constants that stand for reals.
        shapes: shape of every tensor, in the layout of the model's source (ONNX: channel-first); None for the batch.
        domain: ONNX domain of the layers in a saved file.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layers: tuple[Layer, ...]
    tensors: Mapping[str, QuantParams]
    shapes: Mapping[str, tuple[int | None, ...]]
    domain: str

    @property
    def integer_inputs(self) -> tuple[str, ...]:
        """Where integers enter: model inputs, or what the input quantizers give."""
        made = {name: layer for layer in self.layers for name in layer.outputs}
        entering = [
            name
            for layer in self.layers
            if layer.op not in EDGE_LAYERS
            for name in layer.inputs
            if name not in made or made[name].op == INPUT_QUANTIZER
        ]
        return tuple(dict.fromkeys(entering))

    @property
    def integer_outputs(self) -> tuple[str, ...]:
        """Where integers leave: model outputs, or what the dequantizers read; and reals that a layer of the chip gives."""
        reals = {name for layer in self.layers if layer.op in EDGE_LAYERS for name in layer.outputs}
        leaving = [name for name in self.outputs if name not in reals]
        leaving += [name for layer in self.layers if layer.op == DEQUANTIZER for name in layer.inputs]
        return tuple(dict.fromkeys(leaving))

    @property
    def integer_layers(self) -> tuple[Layer, ...]:
        """The layers that give the chip's integers: neither at the edge nor on the host nor in float."""
        chip = (layer for layer in self.layers if layer.op not in EDGE_LAYERS)
        return tuple(layer for layer in chip if all(name in self.tensors for name in layer.outputs))

    def reads_input(self, layer: Layer) -> bool:
        """Whether a layer is at the chip's entrance: it reads what enters, rearranged at the most."""
        made = {name: other for other in self.layers for name in other.outputs}
        moved = [made[name] for name in layer.inputs if name in made and made[name].op in MOVES]
        return any(name in self.integer_inputs for name in layer.inputs) or any(map(self.reads_input, moved))

    def cut(self, inputs: Sequence[str], outputs: Sequence[str]) -> IntegerModel:
        """The part between ``inputs`` and ``outputs``: only the layers needed for them.

        Raises:
            KeyError: if ``outputs`` need a tensor that is neither made by a layer nor among ``inputs``.
        """
        made = {name: layer for layer in self.layers for name in layer.outputs}
        wanted, kept = [name for name in outputs if name not in inputs], set()
        while wanted:
            layer = made[wanted.pop()]
            if id(layer) not in kept:
                kept.add(id(layer))
                wanted += [name for name in layer.inputs if name not in inputs]
        layers = tuple(layer for layer in self.layers if id(layer) in kept)
        return IntegerModel(self.name, tuple(inputs), tuple(outputs), layers, self.tensors, self.shapes, self.domain)


Kernels = Mapping[str, "Kernel"]
