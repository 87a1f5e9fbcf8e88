"""Throughput of the ``onnxruntime`` simulator against onnxruntime on the float model: same samples, same threads, one process."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

import quaint
from benchmarks.data import DIGITS, real_model
from quaint.floatmodel import FloatModel
from quaint.pipeline import load_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIMIT_RATIO = 0.5
ROUNDS = 7
SAMPLES = 32
TARGETS = ("esp32p4", "esp32s3", "onnx-qdq", "akida2")


def measure() -> Iterator[str]:
    """The float model and the simulator in turn, several rounds; the ratio of the medians."""
    models = {
        "MobileNetV2": real_model("mobilenet_v2_100_224.onnx"),
        "digits-residual": DIGITS / "digits-residual.onnx",
    }
    for name, path in models.items():
        if path is None:
            yield f"throughput: {name}: skipped, QUAINT_TEST_DATA is absent"
            continue
        for target in TARGETS:
            yield _measure_one(name, path, target)


def _measure_one(name: str, path: Path, target: str) -> str:
    source = load_model(path)
    shape = [SAMPLES, *(int(n) for n in source.graph.inputs[0].shape[1:])]
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    quantized = quaint.quantize(path, target, x)
    plain, simulator = FloatModel(source), quantized.simulator("onnxruntime")
    feeds = {quantized.integer.inputs[0]: x}
    for warm in (plain, simulator):
        warm.run(feeds)
    times = [(_seconds(lambda: plain.run(feeds)), _seconds(lambda: simulator.run(feeds))) for _ in range(ROUNDS)]
    ratio = statistics.median(a / b for a, b in times)
    rates = [SAMPLES / statistics.median(column) for column in zip(*times, strict=True)]
    return (
        f"throughput: {name} for {target}: integers {rates[1]:.1f}/s, float {rates[0]:.1f}/s, "
        f"ratio {ratio:.2f} (limit {LIMIT_RATIO})"
    )


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
