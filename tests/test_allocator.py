"""Memory is handed back, and nothing breaks where it cannot be."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from quaint.allocator import give_back

if TYPE_CHECKING:
    import pytest


def test_it_trims(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: type("Library", (), {"malloc_trim": staticmethod(called.append)}))
    give_back()
    assert called == [0]


def test_other_libraries_have_no_such_function(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def library(name: object) -> object:
        asked.append(name)
        return object()

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", library)
    give_back()
    assert asked == [None]
