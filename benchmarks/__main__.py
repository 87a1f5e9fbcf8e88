"""Run every benchmark and print one line each: what, the figure, its peer or limit, the ratio."""

from __future__ import annotations

from benchmarks import esp_ppq, published, quantizeml, startup, throughput

for measure in (startup.measure, throughput.measure, published.measure, esp_ppq.measure, quantizeml.measure):
    for line in measure():
        print(line, flush=True)
