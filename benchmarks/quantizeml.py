"""Quantizing for Akida 2 against QuantizeML's ONNX path: the same model and samples, whole processes, start-up included.

``QUAINT_PEER_QUANTIZEML`` names the Python of an environment of its own that has quantizeml.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks.data import installed, real_model, write_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Runs of ours, of which the median counts; the peer takes long and runs once.
RUNS = 3
#: Ours as it comes, with a report of every layer's error; and what the peer does: its ranges, and nothing measured.
SETTINGS = {
    "defaults": (),
    "as the peer": ("--observer", "moving-max", "--quantizer", "ranges", "--no-analysis"),
}


@dataclass(frozen=True)
class Figures:
    """What a process took: seconds on the clock, seconds of all its threads, largest resident memory in MiB."""

    seconds: float
    cpu_seconds: float
    peak_mib: float


@dataclass(frozen=True)
class Case:
    """A model, a number of random samples, and how many times better than the peer each figure shall be.

    Args:
        model: of the measuring data.
        shape: of a sample.
        samples: how many.
        batch: calibrated at a time by the peer; None for its default.
        limits: the least ratio of seconds, and of memory.
        change: what is done to the model before, for both.
    """

    model: str
    shape: tuple[int, ...]
    samples: int
    batch: int | None
    limits: tuple[float, float]
    change: Callable[[onnx.ModelProto], None] | None = None


def square_stem(model: onnx.ModelProto) -> None:
    """Put a 3x3 kernel into the first convolution: 10x4 is quantized by the peer, but no Akida has it, and we refuse it."""
    stem = model.graph.node[0]
    kernel = next(tensor for tensor in model.graph.initializer if tensor.name == stem.input[1])
    weight = numpy_helper.to_array(kernel)[:, :, 4:7, 1:4]
    kernel.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(weight), kernel.name))
    del stem.attribute[:]
    window = {"kernel_shape": [3, 3], "pads": [1, 0, 1, 1], "strides": [2, 2]}
    stem.attribute.extend(helper.make_attribute(name, value) for name, value in window.items())


CASES = {
    "DS-CNN with a 3x3 stem": Case("kws_ref_model.onnx", (1, 49, 10), 1024, 32, (3, 3), square_stem),
    "MobileNetV1 0.25": Case("vww_96.onnx", (3, 96, 96), 1024, 32, (3, 3)),
    "MobileNetV2": Case("mobilenet_v2_100_224.onnx", (3, 224, 224), 256, None, (4, 8)),
}


def measure() -> Iterator[str]:
    """Time and peak memory of each case, with their ratios."""
    peer = os.environ.get("QUAINT_PEER_QUANTIZEML")
    for name, case in CASES.items():
        path = real_model(case.model)
        if path is None or peer is None:
            yield f"quantizeml: {name}: skipped, needs QUAINT_TEST_DATA and QUAINT_PEER_QUANTIZEML"
        else:
            yield from _measure_one(name, case, path, Path(peer).with_name("quantizeml"))


def _measure_one(name: str, case: Case, path: Path, peer: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        model, samples, output = (Path(folder) / file for file in ("model.onnx", "samples.npz", "output"))
        changed = onnx.load(path)
        if case.change is not None:
            case.change(changed)
        onnx.save(changed, model)
        with zipfile.ZipFile(samples, "w") as archive, archive.open("samples.npy", "w") as stream:
            write_samples(stream, (case.samples, *case.shape), 1)
        batch = ["-bs", str(case.batch)] if case.batch else []
        theirs = _run(
            [peer, "quantize", "-m", model, "-sa", samples, *batch, "-s", Path(folder) / "theirs.onnx"], folder
        )
        command: list[str | Path] = [sys.executable, "-m", "quaint", "quantize", model, "--samples", samples]
        command += ["--target", "akida2", "--output", output, "--force"]
        for settings, options in SETTINGS.items():
            runs = [astuple(_run([*command, *options], folder)) for _ in range(RUNS)]
            ours = Figures(*(statistics.median(column) for column in zip(*runs, strict=True)))
            yield f"quantizeml: {name}, {case.samples} samples, {settings}: {_compared(ours, theirs, case)}"


def _compared(ours: Figures, theirs: Figures, case: Case) -> str:
    faster, smaller = case.limits
    return (
        f"{ours.seconds:.1f} s, peer {theirs.seconds:.1f} s, ratio {theirs.seconds / ours.seconds:.1f} (limit {faster:g}); "
        f"CPU {ours.cpu_seconds:.1f} s, peer {theirs.cpu_seconds:.1f} s, ratio {theirs.cpu_seconds / ours.cpu_seconds:.1f}; "
        f"peak {ours.peak_mib:.0f} MiB, peer {theirs.peak_mib:.0f} MiB, "
        f"ratio {theirs.peak_mib / ours.peak_mib:.1f} (limit {smaller:g})"
    )


def _run(command: Sequence[str | Path], folder: str) -> Figures:
    """Run a command to its end.

    Raises:
        CalledProcessError: where it fails.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=installed(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(map(str, command)))
    return Figures(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
