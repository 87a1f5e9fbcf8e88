"""A named part that is imported only when it is used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Lazy:
    """A component that a hook offers: a name, where to find it, and one line about it.

    Args:
        name: what users type, or what the hook's page in the reference says.
        path: ``"module:attribute"``; the module is imported by ``load`` and not before.
        summary: one line for listings.
    """

    name: str
    path: str
    summary: str

    def load(self) -> Any:
        """Import the module and return the attribute."""
        module, _, attribute = self.path.partition(":")
        return getattr(importlib.import_module(module), attribute)
