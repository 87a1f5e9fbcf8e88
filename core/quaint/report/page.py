"""The report as one HTML page: no script, nothing loaded, every text escaped."""

from __future__ import annotations

import math
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined

from quaint.report import text

if TYPE_CHECKING:
    from quaint.report.report import Report

#: Ends of the axis of the error bars: noise-to-signal power, on a logarithmic scale.
BEST, WORST = 1e-6, 1.0
BAR_WIDTH = 120
GOOD, POOR = 1e-3, 1e-2


def render(report: Report) -> str:
    """The page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    filters = (text.noise, text.percent, text.count, text.size, text.scale, text.cost_line)
    environment.filters |= {f.__name__: f for f in filters}
    environment.globals |= {"bar": bar, "grade": grade, "bar_width": BAR_WIDTH}
    source = files("quaint.report").joinpath("page.html.jinja").read_text(encoding="utf-8")
    worst = sorted((layer for layer in report.layers if layer.noise), key=lambda layer: -(layer.noise or 0))
    return environment.from_string(source).render(report=report, worst=worst[:1], totals=report.totals)


def bar(noise: float | None) -> float:
    """Length of a layer's bar."""
    if not noise:
        return 0
    share = math.log(noise / BEST) / math.log(WORST / BEST)
    return round(BAR_WIDTH * min(max(share, 0.01), 1), 1)


def grade(noise: float | None) -> str:
    """Class of a bar's colour: below 0.1 %, below 1 %, or more."""
    if noise is None or noise >= POOR:
        return "poor"
    return "good" if noise < GOOD else "fair"
