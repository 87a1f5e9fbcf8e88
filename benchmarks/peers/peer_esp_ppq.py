"""The same with ESP-PPQ, under a Python that has it: ``MODEL SAMPLES.npy TARGET FOLDER``."""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch
from esp_ppq.api import espdl_quantize_onnx, get_target_platform
from esp_ppq.lib import Exporter

BATCH = 32


def main() -> None:
    """Measure; on a copy of the model, since the tool writes to its input."""
    source, samples, target, folder = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    model = shutil.copy(source, folder)
    values = torch.from_numpy(np.load(samples))
    batches = list(values.split(BATCH))
    written = str(Path(folder) / "model.espdl")
    start = time.perf_counter()
    graph = espdl_quantize_onnx(
        model,
        written,
        batches,
        len(batches),
        [1, *values.shape[1:]],
        target=target,
        error_report=False,
        skip_export=True,
    )
    done = time.perf_counter()
    Exporter(platform=get_target_platform(target, "w8a8")).export(
        file_path=written, graph=graph, values_for_test=None, export_config=True
    )
    end = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"quantize": done - start, "export": end - done, "peak_mib": peak}))


if __name__ == "__main__":
    main()
