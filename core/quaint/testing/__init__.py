"""What plugins are tested with: the conformance suite, a zoo of small models, and a pytest plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quaint.testing.conformance import TargetConformance as TargetConformance

__all__ = ["TargetConformance"]


def __getattr__(name: str) -> Any:
    """Import the suite when it is first used: pytest imports this package at every start."""
    if name != "TargetConformance":
        raise AttributeError(f"module 'quaint.testing' has no attribute {name!r}")
    from quaint.testing.conformance import TargetConformance

    return TargetConformance
