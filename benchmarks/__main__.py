"""Run every benchmark and print one line each: what, the figure, its peer or limit, the ratio."""

from __future__ import annotations

from benchmarks import startup, throughput

for measure in (startup.measure, throughput.measure):
    for line in measure():
        print(line, flush=True)
