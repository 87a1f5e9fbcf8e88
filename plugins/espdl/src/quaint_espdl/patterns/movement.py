"""Operators that move numbers."""

from __future__ import annotations

from quaint.layers import patterns as core
from quaint_espdl.patterns.widths import Observed


class Concat(Observed, core.Concat):
    """Tensors of one exponent, joined."""


class Move(Observed, core.Move):
    """Reshape, Flatten, Transpose."""
