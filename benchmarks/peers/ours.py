"""Quantize a model and write its files: ``MODEL SAMPLES.npy TARGET FOLDER``; prints seconds and peak memory as JSON.

Imports do not count, as they don't for the peer.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import quaint
from quaint.pipeline import find_target


def main() -> None:
    """Measure."""
    model, samples, name, folder = sys.argv[1:]
    target = find_target(name)
    start = time.perf_counter()
    quantized = quaint.quantize(model, target, samples)
    done = time.perf_counter()
    quantized.export(folder, force=True)
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"quantize": done - start, "export": end - done, "peak_mib": peak}))


if __name__ == "__main__":
    main()
