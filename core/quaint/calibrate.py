"""Calibration: the range of every tensor at a block's edge, measured on samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.errors import QuaintError
from quaint.floatmodel import FloatModel
from quaint.numerics import ScaleKind
from quaint.plugins import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from quaint.numerics import QuantSpec
    from quaint.partition import Plan


@dataclass(frozen=True, eq=False)
class Range:
    """Smallest and largest value of a tensor: float64 scalars, or vectors along the axis of its spec."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


def calibrate(
    plan: Plan,
    specs: Mapping[str, QuantSpec | None],
    batches: Callable[[], Iterable[Mapping[str, NDArray[Any]]]],
    epochs: int = 1,
) -> dict[str, Range]:
    """Run the float model over the samples, observing every edge as its spec says.

    Args:
        plan: the divided model.
        specs: spec of each edge; a tensor whose spec is None is observed too, by its largest values.
        batches: gives a new iteration over batches: input name -> array.
        epochs: how often to go through them.

    Raises:
        QuaintError: QC205 where the float model gives NaN or Inf, naming the first such tensor; QU103 for an unknown observer.
    """
    observers = {name: _observer(specs[name]) for name in plan.edges}
    model = FloatModel(plan.model, tuple(observers))
    for _ in range(epochs):
        for batch in batches():
            for name, values in model.run(batch).items():
                if not np.isfinite(values).all():
                    maker = plan.producers[name].name if name in plan.producers else name
                    raise QuaintError(
                        "QC205",
                        "the float model gives NaN or Inf on the samples",
                        where=f"tensor {name!r} of {maker!r}",
                    )
                observers[name].observe(values)
    return {name: Range(*observer.range()) for name, observer in observers.items()}


def _observer(spec: QuantSpec | None) -> Any:
    hook = "quaint_observers"
    if spec is None:
        return registry().get(hook, "minmax")()
    make = registry().get(hook, spec.observer, code="QU103")
    return make(axis=spec.axis, dtype=spec.dtype, power_of_two=spec.scale is not ScaleKind.FLOAT)
