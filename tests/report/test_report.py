"""The report as data and as a page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from quaint.errors import QuaintError
from quaint.report import LayerReport, Report
from quaint.report.cost import Cost, LayerCost

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "</code><script>alert('x')</script>"
LAYER = LayerReport(HOSTILE, "conv", "y", (None, 2), "int8", [0.5, 0.25], [0, 0], 4, 8, 0.002, 0.01, 12, 34)
PLAIN = LayerReport("b", "add", "z", (None, 2), "int8", 0.3, 0, None, 8, None, None, 0, None)
REPORT = Report(
    model=HOSTILE,
    target="demo8",
    samples=1,
    random=True,
    layers=(LAYER, PLAIN),
    outputs={"z": None},
    agreement=None,
    host=({"node": HOSTILE, "op": "Softmax", "reason": "in float"},),
    warnings=(f"careful: {HOSTILE}",),
    config={"layers": {HOSTILE: {"bits": 4}}},
    cost=Cost((LayerCost(HOSTILE, "conv", 8, 4, live_bytes=64),), 96, file=HOSTILE, file_bytes=200),
)


def test_data() -> None:
    data = json.loads(REPORT.to_json())
    assert data["totals"] == {"layers": 2, "parameter_bytes": 12, "macs": 34}
    assert [layer["bits"] for layer in data["layers"]] == ["4/8", "8"]
    assert data["outputs"] == {"z": None}
    assert data["cost"]["peak_memory_bytes"] == 96
    assert data["cost"]["peak_layer"] == HOSTILE
    assert data["cost"]["totals"]["parameter_bytes"] == 12


def test_page_escapes_everything_and_loads_nothing() -> None:
    page = REPORT.to_html().decode()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 9
    assert "http" not in page.replace('<meta http-equiv="Content-Security-Policy"', "")
    assert "src=" not in page
    assert "url(" not in page


def test_page_says_what_the_report_says() -> None:
    page = REPORT.to_html().decode()
    for text in ("measured on 1\n  sample,", "random samples", "0.200%", "2^-2 to 2^-1", "4/8", "Softmax", "in float"):
        assert text in page
    assert page == REPORT.to_html().decode()


def test_page_of_little() -> None:
    page = Report("m", "t", 2, False, (), {}, 1.0, (), (), {}, Cost((), 0)).to_html().decode()
    assert "On the host" not in page
    assert "noisiest" not in page
    assert "unchanged" in page


def test_save(tmp_path: Path) -> None:
    REPORT.save(tmp_path / "r.json")
    REPORT.save(tmp_path / "r.html")
    assert (tmp_path / "r.json").read_bytes() == REPORT.to_json()
    assert (tmp_path / "r.html").read_bytes() == REPORT.to_html()
    with pytest.raises(QuaintError, match="QU108"):
        REPORT.save(tmp_path / "r.pdf")
