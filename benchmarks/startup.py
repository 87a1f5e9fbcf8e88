"""Start-up: ``quaint --help`` and ``quaint targets`` as whole processes, against the limit of 0.3 s."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.data import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_SECONDS = 0.3
RUNS = 7


def measure() -> Iterator[str]:
    """Median of several runs each."""
    for arguments in (["--help"], ["targets"]):
        seconds = statistics.median(_seconds(arguments) for _ in range(RUNS))
        ratio = seconds / LIMIT_SECONDS
        yield f"start-up: quaint {' '.join(arguments)}: {seconds:.3f} s, limit {LIMIT_SECONDS} s, ratio {ratio:.2f}"


def _seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "quaint", *arguments], check=True, capture_output=True, env=installed())
    return time.perf_counter() - start
