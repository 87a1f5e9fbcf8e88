"""Layers that packages add to Keras, by the name under which Keras knows them: the hook ``quaint_keras_layers``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quaint.plugins import registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from quaint.frontends.keras.emit import Emitter, Layer, Tensor

HOOK = "quaint_keras_layers"


@dataclass(frozen=True)
class KerasLayer:
    """How a layer is written in ONNX.

    Args:
        translate: appends its nodes, the last of which is called as the layer, and gives its output.
        weights: roles of its trained weights, in Keras' order: how their names end. ``gamma`` and ``beta`` hang on the
            settings ``scale`` and ``center``, ``bias`` on ``use_bias``.
    """

    translate: Callable[[Emitter, Layer, list[Tensor]], Tensor]
    weights: tuple[str, ...] = ()


def offered() -> frozenset[str]:
    """Every class that packages offer."""
    return frozenset(registry().names(HOOK))


def find(kind: str) -> KerasLayer | None:
    """The layer of a class; None where no package offers it."""
    if kind not in offered():
        return None
    found: KerasLayer = registry().get(HOOK, kind)
    return found
