"""Reports: how far a quantized model is from its float source, layer by layer."""

from __future__ import annotations

from quaint.report.analysis import analyze
from quaint.report.report import LayerReport, Report

__all__ = ["LayerReport", "Report", "analyze"]
