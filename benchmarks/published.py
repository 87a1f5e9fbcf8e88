"""Loading a published ``.espdl`` and running it, in both simulators."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.data import data_file
from quaint.saved import load_quantized

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "human_face_detect_mnp_s8_v1_p4.espdl"


def measure() -> Iterator[str]:
    """Seconds to load it, and of the first and the next run of one sample."""
    path = data_file("espdl_published", MODEL)
    if path is None:
        yield f"published: {MODEL}: skipped, QUAINT_TEST_DATA is absent"
        return
    start = time.perf_counter()
    model = load_quantized(path)
    loaded = time.perf_counter() - start
    integer = model.integer
    feeds = {name: np.zeros([size or 1 for size in integer.shapes[name]], np.float32) for name in integer.inputs}
    for simulator in ("onnxruntime", "reference"):
        times = []
        for _ in range(2):
            start = time.perf_counter()
            model.run(feeds, simulator=simulator)
            times.append(time.perf_counter() - start)
        first, then = times
        yield f"published: {MODEL}: load {loaded:.2f} s, {simulator} first run {first:.2f} s, then {then:.3f} s"
