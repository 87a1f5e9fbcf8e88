"""A plugin with a chip of core's standard layers, installed for the tests that need one: in this process and below it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from quaint.pipeline import quantize
from quaint.plugins import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from quaint.quantized import Quantized
    from quaint.target import Target

settings.register_profile("quaint", deadline=None, derandomize=True)  # a busy machine is no failure
settings.load_profile("quaint")

DIGITS = Path(__file__).parents[1] / "examples" / "digits"

PLUGIN = '''
"""The plugin: two chips, and an exporter that writes the size of each weight."""

from quaint.component import Lazy
from quaint.hookspecs import impl


@impl
def quaint_targets():
    yield Lazy("demo8", "quaint_demo_parts:DEMO8", "demo chip: every standard layer, int8, powers of two")
    yield Lazy("demo-strict", "quaint_demo_parts:STRICT", "demo chip without pooling")


@impl
def quaint_exporters():
    yield Lazy("demo", "quaint_demo_parts:export", "sizes of weights")
'''

PARTS = """
from quaint.layers.patterns import STANDARD, GlobalAveragePool, MaxPool
from quaint.numerics import IntType, QuantSpec, ScaleKind
from quaint.target import Target

SPEC = QuantSpec(IntType(8, signed=True), ScaleKind.POWER_OF_TWO)
WEIGHT = QuantSpec(IntType(8, signed=True), ScaleKind.POWER_OF_TWO, axis=0)
INT32 = IntType(32, signed=True)
DEMO8 = Target(
    "demo8", "demo chip", "quaint.demo", STANDARD, SPEC, WEIGHT, bias={4: INT32, 8: INT32}, weight_bits=(4, 8),
    host=frozenset({"Softmax"}), exporter="demo",
)
WITHOUT = tuple(pattern for pattern in STANDARD if pattern not in {MaxPool, GlobalAveragePool})
STRICT = Target("demo-strict", "demo chip without pooling", "quaint.demo", WITHOUT, SPEC, WEIGHT)


def export(quantized, name):
    lines = [f"{layer.name} {layer.parameter_bytes}" for layer in quantized.integer.integer_layers]
    return {f"{name}.sizes": "\\n".join(lines).encode()}
"""


def install(folder: Path, name: str, source: str) -> None:
    """Make a distribution ``quaint-NAME`` whose entry point is the module ``quaint_NAME``, as pip would."""
    (folder / f"quaint_{name}.py").write_text(source)
    info = folder / f"quaint_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: quaint-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[quaint]\n{name} = quaint_{name}\n")
    registry.cache_clear()


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, here and in subprocesses, into which plugins can be installed; the demo one is there."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "quaint_demo_parts.py").write_text(PARTS)
    install(folder, "demo", PLUGIN)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    yield folder
    registry.cache_clear()
    for name in [name for name, module in sys.modules.items() if str(folder) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


@pytest.fixture
def add_plugin(plugins: Path) -> Callable[[str, str], None]:
    """Install one more plugin: its name and its source."""
    return lambda name, source: install(plugins, name, source)


@pytest.fixture(scope="session")
def digits() -> Path:
    """The folder of the digits example."""
    return DIGITS


@pytest.fixture(scope="session")
def demo() -> Target:
    """The demo chip, without a plugin."""
    names: dict[str, Target] = {}
    exec(PARTS, names)
    return replace(names["DEMO8"], exporter=None)


@pytest.fixture(scope="session")
def quantized(demo: Target) -> Quantized:
    """The digits on the demo chip."""
    return quantize(DIGITS / "digits.onnx", demo, DIGITS / "calibration.npz")


@pytest.fixture(scope="session")
def saved_bytes(quantized: Quantized) -> bytes:
    return quantized.to_bytes()


@pytest.fixture
def saved(saved_bytes: bytes, plugins: Path, tmp_path: Path) -> Path:  # noqa: ARG001 - the file names the plugin's target
    """The digits on the demo chip, in a file."""
    path = tmp_path / "digits.demo8.onnx"
    path.write_bytes(saved_bytes)
    return path
