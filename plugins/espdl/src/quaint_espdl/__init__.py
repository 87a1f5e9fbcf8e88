"""Chips that run ESP-DL, as targets of Quaint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.component import Lazy
from quaint.hookspecs import impl
from quaint_espdl.names import SUMMARIES

if TYPE_CHECKING:
    from collections.abc import Iterable


@impl
def quaint_frontends() -> Iterable[Lazy]:
    """The files that ESP-DL loads, as models that run."""
    yield Lazy(".espdl", "quaint_espdl.reading.reader:load", "ESP-DL, quantized: runs with the chip's integers")


@impl
def quaint_targets() -> Iterable[Lazy]:
    """The chips."""
    for name, summary in SUMMARIES.items():
        yield Lazy(name, f"quaint_espdl.targets:{name}", summary)


@impl
def quaint_exporters() -> Iterable[Lazy]:
    """The files that ESP-DL loads."""
    yield Lazy("espdl", "quaint_espdl.writing.cost:exporter", ".espdl, .info and .json")
