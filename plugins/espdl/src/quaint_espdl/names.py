"""What the chips are called; importing this imports nothing else."""

from __future__ import annotations

_VECTORS = "int8 or int16, power-of-two scales for each channel"
_WHOLE = "int8 or int16, power-of-two scales for a whole tensor"

#: Name of a target -> one line about it. The runtime has vector code for the first three.
SUMMARIES = {
    "esp32p4": f"ESP32-P4: {_VECTORS}",
    "esp32s31": f"ESP32-S31: {_VECTORS}",
    "esp32s3": f"ESP32-S3: {_WHOLE}",
} | {
    f"esp32{chip}": f"ESP32{f'-{chip.upper()}' if chip else ''}: {_WHOLE}; plain C"
    for chip in ("", "s2", "c2", "c3", "c5", "c6")
}
