"""Quaint turns a trained float model into the exact integer program of an edge chip."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quaint.comparison import compare as compare
    from quaint.config import Config as Config
    from quaint.errors import QuaintError as QuaintError
    from quaint.mixed_precision import search as search
    from quaint.numerics import FixedPoint as FixedPoint
    from quaint.pipeline import quantize as quantize
    from quaint.quantized import Quantized as Quantized
    from quaint.rescaling import insert_rescaling as insert_rescaling
    from quaint.saved import load as load
    from quaint.scope import patterns as patterns

#: Public name -> module. Nothing heavy is imported before it is used.
_WHERE = {
    "Config": "quaint.config",
    "FixedPoint": "quaint.numerics",
    "Quantized": "quaint.quantized",
    "QuaintError": "quaint.errors",
    "compare": "quaint.comparison",
    "insert_rescaling": "quaint.rescaling",
    "load": "quaint.saved",
    "quantize": "quaint.pipeline",
    "search": "quaint.mixed_precision",
}

__all__ = [
    "Config",
    "FixedPoint",
    "QuaintError",
    "Quantized",
    "compare",
    "insert_rescaling",
    "load",
    "patterns",
    "quantize",
    "search",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name == "patterns":  # a module that is the context too
        return importlib.import_module("quaint.patterns")
    if name not in _WHERE:
        raise AttributeError(f"module 'quaint' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
