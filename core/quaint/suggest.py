"""Unknown names: list the known ones and suggest the nearest."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint such as ``did you mean 'conv1'? known: conv1, conv2``."""
    names = sorted(known)
    lowered = {candidate.lower(): candidate for candidate in names}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    listed = "known: " + (", ".join(names) if names else "none")
    return f"did you mean '{lowered[near[0]]}'? {listed}" if near else listed
