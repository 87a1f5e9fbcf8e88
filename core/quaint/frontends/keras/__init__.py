"""Keras models (Keras 3, Keras 2 as ``tf_keras``; in memory, ``.keras``, ``.h5``) as ONNX, layer by layer.

Keras and TensorFlow are not needed: a file is read as what it is, a configuration and arrays, so no file can run code.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from quaint.errors import QuaintError
from quaint.frontends.keras.config import Entry, is_model
from quaint.frontends.keras.convert import check, convert
from quaint.frontends.keras.files import read
from quaint.frontends.keras.weights import Weights, from_memory
from quaint.frontends.limits import Limits
from quaint.frontends.onnx import validate

if TYPE_CHECKING:
    import onnx_ir as ir


_DEFAULT = Limits()


def load(source: Any, *, limits: Limits = _DEFAULT) -> ir.Model:
    """The float ONNX model of a Keras model.

    Inputs keep Keras' layout (channels last), shape and, where it is an integer, type. They are named after the input
    layers, outputs after the layers that give them, nodes after their layers (``model/layer`` in a nested model).

    Args:
        source: a functional or sequential ``keras.Model`` or ``tf_keras.Model``, or the path of a ``.keras`` or ``.h5``
            file. It is not changed.
        limits: how large the model may claim to be.

    Raises:
        QuaintError: QM150, layers that have no translation (all of them are listed); QM170, already quantized; QM190,
            layers that are code; and those of `files.read` and `validate`.
    """
    if not isinstance(source, str | os.PathLike):
        return validate(convert(*_from_memory(source)), str(source.name), limits)
    try:
        model = convert(*read(source, limits))
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise QuaintError("QM104", f"malformed Keras model: {error!r}", where=os.fspath(source)) from error
    return validate(model, os.fspath(source), limits)


def _from_memory(source: Any) -> tuple[Entry, Weights, int]:
    try:
        model = json.loads(source.to_json())
    except (NotImplementedError, TypeError, ValueError):  # what Keras raises for code without a configuration
        model = None
    if model is None or not is_model(model) or "layers" not in model["config"]:
        hint = "build it with keras.Sequential or keras.Model(inputs, outputs), or export it to ONNX"
        what = f"{type(source).__qualname__} is not a functional or sequential Keras model"
        raise QuaintError("QM150", what, where=getattr(source, "name", None), hint=hint)
    check(model)
    family = type(source).__module__.split(".")[0]
    version = 2 if family == "tf_keras" else int(sys.modules["keras"].__version__.split(".")[0])
    return model, from_memory(model, source), version
