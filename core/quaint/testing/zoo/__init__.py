"""A zoo of small float models: each layer that edge chips tend to have, in its variants, and a few whole networks."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quaint.suggest import did_you_mean
from quaint.testing.builder import Builder
from quaint.testing.zoo import (  # noqa: F401 - registers models
    activations,
    comparisons,
    elementwise,
    layers,
    movement,
    normalization,
    reductions,
    streams,
)
from quaint.testing.zoo.registry import MAKERS

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

SAMPLES = 32


@dataclass(frozen=True, eq=False)
class ZooModel:
    """A float model with samples for it.

    Args:
        name: its name in the zoo.
        model: opset 18, float32, with a symbolic batch.
        samples: input name -> float32 array of ``SAMPLES`` samples.
    """

    name: str
    model: onnx.ModelProto
    samples: dict[str, NDArray[np.float32]]


def names() -> tuple[str, ...]:
    """Names of all models, the simplest first."""
    return tuple(MAKERS)


@functools.cache
def load(name: str) -> ZooModel:
    """A model by name; the same bytes every time.

    Raises:
        KeyError: for an unknown name, listing the known ones.
    """
    if name not in MAKERS:
        raise KeyError(f"no model {name!r} in the zoo; {did_you_mean(name, MAKERS)}")
    builder = Builder(name)
    outputs = MAKERS[name](builder)
    return ZooModel(name, builder.build(*outputs), builder.samples(SAMPLES))
