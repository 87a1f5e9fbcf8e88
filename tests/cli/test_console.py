"""Tables and progress."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from quaint.cli.console import print_lines, print_table, progress

if TYPE_CHECKING:
    import pytest


def test_a_table_shows_texts_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", ">share"), [("[red]a\x1b[0m", 0.12345), (None, 7)], "title [b]")
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "title [b]"
    assert lines[1].split() == ["name", "share"]
    assert lines[3] == "[red]a\N{REPLACEMENT CHARACTER}[0m  0.123"
    assert lines[4].split() == ["7"]


def test_long_names_are_folded_and_not_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_table(("name", ">n"), [("x" * 60, 1)])
    assert capsys.readouterr().out.count("x") == 60


def test_lines_are_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines("word " * 60, indent="  ")
    assert capsys.readouterr().out == "  " + ("word " * 60).strip() + "\n"


def test_progress_says_nothing_to_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with progress() as stages, stages("calibrate"):
        stages.step(1, 2)
    assert pipe.getvalue() == ""
    assert stages.seconds["calibrate"] >= 0


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress() as stages, stages("calibrate"):
        stages.step(3, 7)
    assert "calibrate" in terminal.getvalue()
    assert "43%" in terminal.getvalue()
