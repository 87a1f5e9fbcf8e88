"""Vectors that a chip must reproduce, and two models that must compute the same."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from quaint.quantized import Quantized

    Arrays = Mapping[str, NDArray[Any]]

SIMULATORS = ("reference", "onnxruntime")
#: How far reals that a chip computes may be apart: their last operations are in single precision.
REAL_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Vectors:
    """Inputs, and the outputs that a chip must give for them.

    Args:
        inputs: integers by name, as ``Quantized.run(integers=True)`` takes them.
        outputs: integers, or reals that the chip computes, by name.
        tolerances: by how much an output may differ; not at all where it is not named, reals by 1e-6.
    """

    inputs: Arrays
    outputs: Arrays
    tolerances: Mapping[str, float] = field(default_factory=dict)


def reproduced(model: Quantized, vectors: Vectors, where: str, what: str) -> str:
    """Run vectors in every simulator.

    Raises:
        QuaintError: QV402 where one gives something else.
    """
    for simulator in SIMULATORS:
        results = model.run(vectors.inputs, integers=True, simulator=simulator)
        made = {model.twins.get(name, name): values for name, values in results.items()}
        for name, wanted in vectors.outputs.items():
            got = made.get(model.twins.get(name, name))
            if got is None or not _same(wanted, got, vectors.tolerances.get(name)):
                problem = f"its {what} do not come out in simulator {simulator!r}"
                raise QuaintError("QV402", f"{problem}: output {name!r} differs", where=where)
    return what


def _same(wanted: NDArray[Any], got: NDArray[Any], tolerance: float | None = None) -> bool:
    if wanted.size != got.size:
        return False
    if tolerance is None:
        tolerance = REAL_TOLERANCE if wanted.dtype.kind == "f" else 0
    one, other = wanted.ravel().astype(np.float64), got.ravel().astype(np.float64)
    return np.allclose(one, other, rtol=0, atol=tolerance, equal_nan=True)


def equal(saved: Quantized, exported: Quantized, inputs: Arrays | None, where: str) -> str:
    """Compare every tensor that both models name: parameters and, on the inputs, integers.

    Raises:
        QuaintError: QV403 naming the first that differs, in order of execution.
    """
    ours, theirs = _named(saved), _named(exported)
    both = [name for name in ours if name in theirs]
    for name in both:
        if saved.integer.tensors[ours[name]] != exported.integer.tensors[theirs[name]]:
            raise QuaintError("QV403", f"tensor {name!r} has other parameters than in the saved model", where=where)
    if inputs is None:
        return f"parameters of {len(both)} tensors"
    inner = [name for name in both if name not in inputs and ours[name] not in saved.integer.integer_inputs]
    wanted = saved.run(inputs, integers=True, outputs=[ours[name] for name in inner])
    first = inner[0] if inner else None
    for feeds in _arranged(saved, exported, inputs):
        made = exported.run(feeds, integers=True, outputs=[theirs[name] for name in inner])
        first = next((name for name in inner if not _moved_same(wanted[ours[name]], made[theirs[name]])), None)
        if first is None:
            return f"integers of {len(inner)} tensors"
    raise QuaintError("QV403", f"tensor {first!r} has other integers than in the saved model", where=where)


def _named(model: Quantized) -> dict[str, str]:
    """Integer tensors by the names of the float model."""
    made = [name for layer in model.integer.integer_layers for name in layer.outputs]
    return {model.twins.get(name, name): name for name in (*model.integer.integer_inputs, *made)
            if name in model.integer.tensors}  # fmt: skip


def _layouts(array: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """As core has it, and with the channel last as many runtimes do."""
    return (array, np.moveaxis(array, 1, -1)) if array.ndim > 2 else (array,)


def _moved_same(wanted: NDArray[Any], got: NDArray[Any]) -> bool:
    return any(_same(moved, got) for moved in _layouts(wanted))


def _arranged(saved: Quantized, exported: Quantized, inputs: Arrays) -> Iterator[dict[str, NDArray[Any]]]:
    """The inputs in every layout that fits the exported model's shapes: one, but for maps as high as they have channels."""
    shapes = exported.integer.shapes
    choices = {}
    for name, array in inputs.items():
        plain = saved.twins.get(name, name)
        shape = tuple(size or array.shape[0] for size in shapes[plain]) if plain in shapes else None
        choices[plain] = [moved for moved in _layouts(array) if moved.shape == shape]
    for chosen in itertools.product(*choices.values()):
        yield dict(zip(choices, chosen, strict=True))
