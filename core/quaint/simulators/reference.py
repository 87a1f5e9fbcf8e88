"""The truth that other simulators are measured by: every kernel in exact integer arithmetic, one layer at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.simulators.base import accepted, part
from quaint.simulators.exact import Exact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.arithmetic import Kernel
    from quaint.integer import IntegerModel, Layer
    from quaint.numerics import IntType

    Array = NDArray[Any]


class Reference:
    """Runs an integer model by the definitions of its layers.

    Args:
        model: what to run.
        kernels: the definition of every ``op`` in it.
    """

    def __init__(self, model: IntegerModel, kernels: Mapping[str, Kernel]) -> None:
        self.model = model
        self._kernels = kernels

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """The tensors ``outputs`` for ``feeds``; see ``Simulator.run``."""
        wanted = tuple(self.model.outputs if outputs is None else outputs)
        layers = part(self.model, feeds, wanted).layers
        values = {name: self._exact(name, value) for name, value in feeds.items()}
        arithmetic = Exact()
        last_use = {name: layer for layer in layers for name in layer.inputs}
        for layer in layers:
            given = (values[name] for name in layer.inputs)
            made = self._kernels[layer.op](arithmetic, *given, **layer.constants, **layer.attributes)
            made = made if isinstance(made, tuple) else (made,)
            for name, value in zip(layer.outputs, made, strict=True):
                self._check(layer, name, value)
                values[name] = value
            for name in (*layer.inputs, *layer.outputs):
                if name not in wanted and last_use.get(name, layer) is layer:
                    values.pop(name, None)
        return {name: self._stored(name, values[name]) for name in wanted}

    def _exact(self, name: str, value: Array) -> Array:
        """A user's array as the arithmetic takes it."""
        given = accepted(self.model, name, value)
        return given.astype(np.int64) if name in self.model.tensors else given

    def _check(self, layer: Layer, name: str, value: Array) -> None:
        """Hold a kernel to the integers that its output is declared in."""
        params = self.model.tensors.get(name)
        if params is not None and (value.dtype != np.int64 or _outside(value, params.dtype)):
            raise AssertionError(
                f"layer '{layer.name}' ({layer.op}): '{name}' holds values that are not {params.dtype}"
            )

    def _stored(self, name: str, value: Array) -> Array:
        """An integer tensor in its storage type."""
        params = self.model.tensors.get(name)
        return value if params is None else value.astype(params.dtype.storage)


def _outside(value: Array, dtype: IntType) -> bool:
    """Whether any integer is not of ``dtype``."""
    return bool(value.size) and (int(value.min()) < dtype.low or int(value.max()) > dtype.high)
