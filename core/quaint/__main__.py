"""``python -m quaint``: the same as ``quaint``."""

from __future__ import annotations

from quaint.cli import main

if __name__ == "__main__":
    main()
