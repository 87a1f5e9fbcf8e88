"""The report as one HTML page: no script, nothing loaded, every text escaped."""

from __future__ import annotations

import math
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined

if TYPE_CHECKING:
    from quaint.report.report import LayerReport, Report

#: Ends of the axis of the error bars: noise-to-signal power, on a logarithmic scale.
BEST, WORST = 1e-6, 1.0
BAR_WIDTH = 120
GOOD, POOR = 1e-3, 1e-2


def render(report: Report) -> str:
    """The page."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"noise": _noise, "percent": _percent, "count": _count, "bytes": _bytes, "scale": _scale}
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


def _noise(value: float | None) -> str:
    return "–" if value is None else f"{value:.3%}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _bytes(value: int) -> str:
    return f"{value:,} B" if value < 1 << 14 else f"{value / 1024:,.1f} KiB"


def _scale(layer: LayerReport) -> str:
    """The scale, powers of two as such; where there are several, the least and the greatest."""
    values: Any = layer.scale if isinstance(layer.scale, list) else [layer.scale]
    ends = sorted({min(values), max(values)})
    return " … ".join(_one_scale(value) for value in ends)


def _one_scale(value: float) -> str:
    mantissa, exponent = math.frexp(value)
    return f"2^{exponent - 1}" if mantissa == 0.5 else f"{value:.4g}"
