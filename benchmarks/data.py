"""Where the models and samples for measuring are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

import numpy as np

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "examples" / "digits"


def write_samples(stream: IO[bytes], shape: tuple[int, ...], bound: float) -> None:
    """An ``.npy`` of random float32 values between ``-bound`` and ``bound``, written a sample at a time.

    The peak of a process begins with that of the one that starts it, which is therefore kept small.
    """
    random = np.random.default_rng(0)
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    for _ in range(shape[0]):
        stream.write(random.uniform(-bound, bound, shape[1:]).astype("<f4").tobytes())


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
