"""Wren as a target of Quaint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.component import Lazy
from quaint.hookspecs import impl

if TYPE_CHECKING:
    from collections.abc import Iterable


@impl
def quaint_targets() -> Iterable[Lazy]:
    """The chip."""
    yield Lazy("wren", "quaint_wren.target:WREN", "Wren: int8, a unit for hard swish")
