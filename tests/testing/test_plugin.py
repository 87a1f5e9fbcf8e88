"""The pytest plugin: light at the start, useful in a test."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

USES = """
def test_zoo(quaint_zoo):
    assert quaint_zoo("gemm").model.graph.name == "gemm"

def test_each(quaint_model):
    assert len(next(iter(quaint_model.samples.values()))) == 32
"""


def run(*args: str, folder: Path) -> str:
    env = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run([sys.executable, *args], check=True, capture_output=True, text=True, cwd=folder, env=env)
    return done.stdout


def test_fixtures(tmp_path: Path) -> None:
    from quaint.testing import zoo

    (tmp_path / "test_uses.py").write_text(USES)
    out = run("-m", "pytest", "-p", "quaint.testing.plugin", "-p", "no:cacheprovider", "-v", folder=tmp_path)
    assert f"{1 + len(zoo.names())} passed" in out
    assert "test_each[residual_cnn] PASSED" in out


def test_nothing_heavy_is_imported_at_the_start(tmp_path: Path) -> None:
    heavy = ("numpy", "onnx", "onnx_ir", "onnxruntime")
    code = f"import sys, quaint.testing.plugin; print([name for name in {heavy} if name in sys.modules])"
    assert run("-c", code, folder=tmp_path).strip() == "[]"


def test_package_gives_the_suite_and_nothing_else() -> None:
    import pytest

    from quaint import testing
    from quaint.testing.conformance import TargetConformance

    assert testing.TargetConformance is TargetConformance
    with pytest.raises(AttributeError, match="no attribute 'Conformance'"):
        testing.Conformance  # noqa: B018
