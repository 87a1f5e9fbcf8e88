"""Run the benchmarks that are named, or every one, and print one line each: what, the figure, its peer or limit, the ratio."""

from __future__ import annotations

import importlib
import subprocess
import sys

NAMES = ("startup", "throughput", "published", "esp_ppq", "quantizeml")

if len(sys.argv) == 2:
    for line in importlib.import_module(f"benchmarks.{sys.argv[1]}").measure():
        print(line, flush=True)
else:  # a process each: the peak memory of those that it starts begins with its own
    for name in sys.argv[1:] or NAMES:
        subprocess.run([sys.executable, "-m", "benchmarks", name], check=True)
