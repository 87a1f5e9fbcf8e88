"""Quantizing and writing MobileNetV2 with 256 samples against ESP-PPQ: the same model and samples, one process each.

``QUAINT_PEER_ESP_PPQ`` names a Python that has esp-ppq and torch, in an environment of its own.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.data import ROOT, installed, real_model, write_samples

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL, TARGET, SAMPLES = "mobilenet_v2_100_224.onnx", "esp32p4", 256
#: Runs of ours, of which the median counts; the peer takes long and runs once.
RUNS = 3
#: What -> how many times better than the peer it shall be.
LIMITS = {"quantize": 6.0, "export": 10.0, "peak_mib": 3.0}


def measure() -> Iterator[str]:
    """Seconds of quantizing, seconds of writing all files, and peak memory; each with its ratio."""
    model, peer = real_model(MODEL), os.environ.get("QUAINT_PEER_ESP_PPQ")
    if model is None or peer is None:
        yield "esp-ppq: skipped, needs QUAINT_TEST_DATA and QUAINT_PEER_ESP_PPQ"
        return
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "samples.npy"
        with samples.open("wb") as stream:
            write_samples(stream, (SAMPLES, 3, 224, 224), 2)
        runs = [_run(sys.executable, "ours.py", model, samples, Path(folder) / "ours") for _ in range(RUNS)]
        ours = {what: statistics.median(run[what] for run in runs) for what in LIMITS}
        theirs = _run(peer, "peer_esp_ppq.py", model, samples, Path(folder) / "theirs")
    for what, limit in LIMITS.items():
        ratio = theirs[what] / ours[what]
        yield f"esp-ppq: {what}: {ours[what]:.2f}, peer {theirs[what]:.2f}, ratio {ratio:.1f} (limit {limit:.0f})"


def _run(python: str, program: str, model: Path, samples: Path, folder: Path) -> dict[str, float]:
    """The figures that a program prints on its last line."""
    command = [python, ROOT / "benchmarks" / "peers" / program, model, samples, TARGET, folder]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=installed())
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures
