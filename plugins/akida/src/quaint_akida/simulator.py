"""The simulator ``akida-runtime``: the chip's part of a model in BrainChip's ``akida`` package, all else as in the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.errors import QuaintError
from quaint.integer import EDGE_LAYERS, MOVES
from quaint.simulators.base import accepted, part
from quaint.simulators.reference import Reference
from quaint_akida import runtime_model
from quaint_akida.runtime_layers import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Kernel
    from quaint.integer import IntegerModel, Layer

    Array = NDArray[Any]

#: Axes of a tensor that has frames, along axis 2: [N, C, T] and [N, C, T, H, W].
STREAMS = (3, 5)


class AkidaRuntime:
    """Runs an integer model in the vendor's software.

    A tensor inside the chip is computed from the nearest known tensor that alone decides it: the input, where nothing else
    was asked for. So a run for the outputs is one of the whole model, and one for every tensor goes layer by layer.

    Args:
        model: what to run, for one of this plugin's targets.
        kernels: the definition of every ``op`` in it, for what does not run on the chip.

    Raises:
        QuaintError: QP530 without the package, QT352 for a layer that it does not have.
    """

    def __init__(self, model: IntegerModel, kernels: Mapping[str, Kernel]) -> None:
        runtime_model.runtime()
        for layer in model.layers:
            if layer.op not in EDGE_LAYERS | MOVES and not _on_chip(layer):
                raise refuse(layer, "there is no such layer")
        self.model = model
        self._reference = Reference(model, kernels)
        self._built: dict[tuple[str, str], Any] = {}

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """The tensors ``outputs`` for ``feeds``; see ``Simulator.run``."""
        wanted = tuple(self.model.outputs if outputs is None else outputs)
        layers = part(self.model, feeds, wanted).layers
        elsewhere = [layer for layer in layers if not _on_chip(layer)]
        shown = {name for layer in elsewhere for name in layer.inputs}.union(wanted)
        values = {name: accepted(self.model, name, value) for name, value in feeds.items()}
        for layer in layers:
            if not _on_chip(layer):
                given = {name: values[name] for name in layer.inputs}
                values |= self._reference.run(given, layer.outputs)
            elif shown.intersection(layer.outputs):
                values[layer.outputs[0]] = self._computed(values, layer.outputs[0])
        return {name: values[name] for name in wanted}

    def _computed(self, values: Mapping[str, Array], name: str) -> Array:
        """A tensor that a layer of the chip gives."""
        inside = {made for layer in self.model.layers if _on_chip(layer) for made in layer.outputs}
        for source in reversed(list(values)):
            if source in inside and not runtime_model.can_enter(self.model.tensors[source].dtype):
                continue
            try:
                needed = self.model.cut([source], [name])
            except KeyError:
                continue
            if all(map(_on_chip, needed.layers)):
                return self._forward(needed, values[source])
        raise QuaintError(
            "QT352", f"no single tensor decides {name!r}, and the akida package takes one", where=self.model.name
        )

    def _forward(self, needed: IntegerModel, x: Array) -> Array:
        """What the vendor's model makes of a tensor, in our layout and type."""
        (name,) = needed.outputs
        made = [self._vendor(needed, stream=x.ndim in STREAMS).forward(batch) for batch in _batches(x)]
        return _joined(made, len(needed.shapes[name])).astype(needed.tensors[name].dtype.storage)

    def _vendor(self, needed: IntegerModel, *, stream: bool) -> Any:
        """The vendor's model: made once, but for a stream anew for each sample, as it remembers frames."""
        key = (needed.inputs[0], needed.outputs[0])
        if stream or key not in self._built:
            self._built[key] = runtime_model.build(needed, edges=False)
        return self._built[key]


def _on_chip(layer: Layer) -> bool:
    return layer.op in runtime_model.LAYERS


def _batches(x: Array) -> list[Array]:
    """A tensor as batches of maps [rows, columns, channels]: one of all samples, or one of each sample's frames."""
    last = np.moveaxis(x, 1, -1)
    maps = last if x.ndim > 3 else np.expand_dims(last, (-3, -2))
    return [np.ascontiguousarray(part) for part in (maps if x.ndim in STREAMS else [maps])]


def _joined(made: Sequence[Array], rank: int) -> Array:
    """The tensor of ``rank`` axes from the batches that came out."""
    maps = np.stack(made) if rank in STREAMS else made[0]
    return np.moveaxis(maps if rank > 3 else maps[..., 0, 0, :], -1, 1)
