"""``x * scale + offset`` put before a float model, so that raw samples (bytes, say) may enter it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.errors import QuaintError
from quaint.graph import GraphEditor
from quaint.pipeline import load_model

if TYPE_CHECKING:
    import onnx_ir as ir


def insert_rescaling(source: Any, scale: float, offset: float = 0.0, *, name: str | None = None) -> ir.Model:
    """A float model that computes ``source(x * scale + offset)``.

    Args:
        source: path of a model, or a model of one of the frameworks; it is not changed.
        scale: positive.
        offset: in the model's own units.
        name: of the input to rescale; needed where the model has several.

    Returns:
        The model with a Mul and, for an offset, an Add called ``rescaling`` and ``rescaling/offset`` after the input.

    Raises:
        QuaintError: QU111 for a scale that is not positive or a number that is not finite, an unknown input, or one
            that is not float.
    """
    if not (math.isfinite(scale) and scale > 0 and math.isfinite(offset)):
        raise QuaintError("QU111", f"cannot rescale by {scale} and {offset}", hint="give a positive scale")
    model = load_model(source).clone()
    editor = GraphEditor(model)
    value = _input(model, name)
    taken = {node.name for node in model.graph}
    called = next(n for n in ("rescaling", *(f"rescaling_{i}" for i in range(len(taken) + 1))) if n not in taken)
    readers, dtype = list(value.uses()), value.dtype.numpy() if value.dtype else np.dtype(np.float32)
    first = min((user for user, _ in readers), key=list(model.graph).index)
    scaled = editor.insert(
        "Mul",
        [value, editor.constant(np.array(scale, dtype), f"{called}/scale")],
        before=first,
        name=called,
        like=value,
    )
    if offset:
        shift = editor.constant(np.array(offset, dtype), f"{called}/shift")
        scaled = editor.insert("Add", [scaled, shift], before=first, name=f"{called}/offset", like=value)
    for node, index in readers:
        node.replace_input_with(index, scaled)
    return model


def _input(model: ir.Model, name: str | None) -> ir.Value:
    """The input to rescale: a float one that is read."""
    found = {value.name or "": value for value in model.graph.inputs if value.uses()}
    if name is None and len(found) != 1:
        raise QuaintError("QU111", f"the model has {len(found)} inputs", hint=f"name one of {', '.join(found)}")
    value = found.get(name) if name is not None else next(iter(found.values()))
    if value is None:
        raise QuaintError("QU111", f"no input is called {name!r}", hint=f"known: {', '.join(found)}")
    if value.dtype is None or not value.dtype.is_floating_point():
        raise QuaintError("QU111", f"input {value.name!r} is not float", hint="only float inputs can be rescaled")
    return value
