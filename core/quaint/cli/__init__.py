"""The command line. Commands come from the hook ``quaint_commands`` and are imported when they are called."""

from __future__ import annotations

from quaint.cli.group import quaint


def main() -> None:
    """The console script ``quaint``."""
    quaint(prog_name="quaint")
