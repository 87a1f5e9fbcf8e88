"""Packages that ``test_outside_packages`` installs; their own tests run where they are installed."""

from __future__ import annotations

collect_ignore_glob = ["*"]
