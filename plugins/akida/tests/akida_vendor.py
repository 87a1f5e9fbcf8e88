"""What tests with BrainChip's package share: the mark that skips them without it, and its absence for those that need that."""

from __future__ import annotations

import importlib.util
import sys

import pytest

needs_runtime = pytest.mark.skipif(
    importlib.util.find_spec("akida") is None, reason="BrainChip's akida package is not installed: make test-runtime"
)


@pytest.fixture
def without_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package cannot be imported, even where it is installed."""
    monkeypatch.setitem(sys.modules, "akida", None)
