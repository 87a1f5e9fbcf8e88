"""Chips that run ESP-DL, as targets of Quaint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.component import Lazy
from quaint.hookspecs import impl

if TYPE_CHECKING:
    from collections.abc import Iterable


@impl
def quaint_frontends() -> Iterable[Lazy]:
    """The files that ESP-DL loads, as models that run."""
    yield Lazy(".espdl", "quaint_espdl.reading.reader:load", "ESP-DL, quantized: runs with the chip's integers")


@impl
def quaint_targets() -> Iterable[Lazy]:
    """The chips."""
    yield Lazy(
        "esp32p4", "quaint_espdl.targets:ESP32P4", "ESP32-P4: int8 or int16, power-of-two scales for each channel"
    )
    yield Lazy(
        "esp32s3", "quaint_espdl.targets:ESP32S3", "ESP32-S3: int8 or int16, power-of-two scales for a whole tensor"
    )


@impl
def quaint_exporters() -> Iterable[Lazy]:
    """The files that ESP-DL loads."""
    yield Lazy("espdl", "quaint_espdl.writing.exporter:export", ".espdl, .info and .json")
