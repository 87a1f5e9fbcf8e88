"""Numbers as people read them, in the terminal and on the page alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quaint.report.cost import Cost

NOTHING = "-"


def noise(power: float | None) -> str:
    """Noise-to-signal power as per cent."""
    return NOTHING if power is None else f"{power:.3%}"


def percent(share: float | None) -> str:
    """A share as per cent with two decimals."""
    return NOTHING if share is None else f"{share:.2%}"


def count(number: int | None) -> str:
    """A number with its thousands apart."""
    return NOTHING if number is None else f"{number:,}"


def size(number: int | None) -> str:
    """A number of bytes."""
    if number is None:
        return NOTHING
    if number < 1 << 10:
        return f"{number} B"
    return f"{number / (1 << 10):,.1f} KiB" if number < 1 << 20 else f"{number / (1 << 20):,.1f} MiB"


def cost_line(spent: Cost) -> str:
    """Flash, memory and multiply-accumulates in a line; what is not known yet is left out."""
    totals = spent.totals
    parts = [(totals[f"{kind}_bytes"], name) for kind, name in _KINDS.items()]
    kinds = ", ".join(f"{size(number)} of {name}" for number, name in parts if number)
    flash = size(totals["parameter_bytes"]) + " of constants" + (f" ({kinds})" if kinds else "")
    file = [] if spent.file_bytes is None else [f"{size(spent.file_bytes)} of flash for {spent.file}"]
    inserted = [(spent.requantizations, "requantization"), (spent.transposes, "transposition")]
    more = [f"{number} {name}{'s' if number > 1 else ''} inserted" for number, name in inserted if number]
    peak = f"{size(spent.peak_memory_bytes)} of memory at the peak"
    return "; ".join([*file, flash, peak, f"{count(totals['macs'])} MACs", *more])


_KINDS = {"weight": "weights", "bias": "biases", "table": "tables", "other": "others"}


def scale(value: float | Sequence[float]) -> str:
    """A scale, powers of two as such; of several the least and the greatest."""
    values = [value] if isinstance(value, float) else value
    return " to ".join(map(_one_scale, sorted({min(values), max(values)})))


def _one_scale(value: float) -> str:
    mantissa, exponent = math.frexp(value)
    return f"2^{exponent - 1}" if mantissa == 0.5 else f"{value:.4g}"
