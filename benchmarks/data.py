"""Where the models and samples for measuring are."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "examples" / "digits"


def real_model(name: str) -> Path | None:
    """A model of the measuring data (``QUAINT_TEST_DATA``), or None where that is absent."""
    folder = Path(os.environ.get("QUAINT_TEST_DATA", ROOT.parent / "shared" / "data"))
    path = folder / "models" / name
    return path if path.is_file() else None
