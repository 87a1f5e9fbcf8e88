"""Where the models and samples for measuring are."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "examples" / "digits"


def installed() -> dict[str, str]:
    """The environment for a process to be timed: modules are compiled once, as those that pip installs are."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def real_model(name: str) -> Path | None:
    """A model of the measuring data (``QUAINT_TEST_DATA``), or None where that is absent."""
    return data_file("models", name)


def data_file(folder: str, name: str) -> Path | None:
    """A file of the measuring data, or None where it is absent."""
    path = Path(os.environ.get("QUAINT_TEST_DATA", ROOT.parent / "shared" / "data")) / folder / name
    return path if path.is_file() else None
