"""One more layer for Wren, somebody else's chip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.component import Lazy
from quaint.hookspecs import impl

if TYPE_CHECKING:
    from collections.abc import Iterable


@impl
def quaint_patterns() -> Iterable[Lazy]:
    """Tried before the target's own patterns."""
    yield Lazy("wren/hard-swish-table", "quaint_wren_extras.table:HardSwishTable", "hard swish of a vector, as a table")
