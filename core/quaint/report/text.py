"""Numbers as people read them, in the terminal and on the page alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def scale(value: float | Sequence[float]) -> str:
    """A scale, powers of two as such; of several the least and the greatest."""
    values = [value] if isinstance(value, float) else value
    return " to ".join(map(_one_scale, sorted({min(values), max(values)})))


def _one_scale(value: float) -> str:
    mantissa, exponent = math.frexp(value)
    return f"2^{exponent - 1}" if mantissa == 0.5 else f"{value:.4g}"
