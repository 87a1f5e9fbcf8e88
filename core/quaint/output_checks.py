"""What an output may be: no input, nothing that exists unless the user says so, and a plain file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def check_targets(targets: Sequence[Path], protect: Sequence[Path], *, force: bool) -> None:
    """Refuse files that may not be written.

    Raises:
        QuaintError: QI600 one exists and ``force`` is not given, QI601 one is an input, QI602 one is no file.
    """
    refuse_inputs(targets, protect)
    for target in targets:
        if target.exists() and not target.is_file():
            raise QuaintError("QI602", "is a folder or a device, and a file is to be written", where=str(target))
    existing = [target for target in targets if os.path.lexists(target)]
    if existing and not force:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        details = [str(target) for target in existing]
        what = f"output exists: '{existing[0].name}'{more}"
        raise QuaintError("QI600", what, where=str(existing[0].parent), hint="--force replaces it", details=details)


def refuse_inputs(targets: Sequence[Path], protect: Sequence[Path]) -> None:
    """QI601 where a target is an input, by whatever path or link, or lies in a folder that is an input."""
    for target in targets:
        for source in protect:
            inside = source.is_dir() and target.resolve().is_relative_to(source.resolve())
            if inside or target.resolve() == source.resolve() or _same_file(target, source):
                what = f"the output would {'go into' if inside else 'replace'} the input {source}"
                raise QuaintError("QI601", what, where=str(target), hint="give another output")


def _same_file(target: Path, source: Path) -> bool:
    try:
        return target.samefile(source)
    except OSError:
        return False
