"""The hooks, by their page in the reference: each is documented, and the package that the page shows works."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from quaint import pipeline
from quaint.cli.group import quaint
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.frontends.keras.convert import check, convert
from quaint.plugins import HOOKS, registry

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "hooks.md").read_text("utf-8")
#: A block of code, and the file that the line before it names, if any.
BLOCK = re.compile(r"(?:^`([\w/]+\.py)`\n\n)?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MODEL = """<ir_version: 9, opset_import: ["": 18]>
squares (float[N, 2, 4] x) => (float[N, 2, 4] y) <float[4, 4] w = {1, 0, 2, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0, 2, 0, 1}> {
  h = MatMul(x, w)
  y = Mul(h, h)
}
"""


@pytest.fixture
def magpie(plugins: Path) -> Iterator[Path]:
    """The package of the page, installed."""
    package = plugins / "quaint_magpie"
    package.mkdir()
    for file, code in BLOCK.findall(PAGE):
        with (plugins / (file or "quaint_magpie/__init__.py")).open("a", encoding="utf-8") as stream:
            stream.write(f"{code}\n")
    info = plugins / "quaint_magpie-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: quaint-magpie\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[quaint]\nmagpie = quaint_magpie\n")
    registry.cache_clear()
    yield plugins
    for name in [name for name in sys.modules if name.startswith("quaint_magpie")]:
        del sys.modules[name]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_an_example(hook: str) -> None:
    section = re.search(rf"^## {hook}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, f"docs/reference/hooks.md has no section on {hook}"
    assert f"def {hook}() -> Iterable[Lazy]:" in section[1]


def test_no_hook_is_documented_that_is_not_there() -> None:
    assert sorted(re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)) == sorted(HOOKS)


@pytest.mark.usefixtures("magpie")
def test_package_offers_every_hook() -> None:
    (info,) = [info for info in registry().plugins if info.name == "magpie"]
    assert info.error is None
    assert sorted(info.offers) == sorted(HOOKS)


def test_package_is_used_from_end_to_end(magpie: Path) -> None:
    (magpie / "model.onnxtxt").write_text(MODEL)
    x = np.random.default_rng(0).uniform(-1, 1, (64, 2, 4)).astype(np.float32)
    config = Config(observer="first-batch", quantizer="headroom", batch_size=8)
    made = pipeline.quantize(magpie / "model.onnxtxt", "magpie", {"x": x}, config)
    assert [layer.op for layer in made.integer.integer_layers] == ["gemm", "lookup"]
    weight = np.array([1, 0, 2, 0, 0, 1, 0, 1, 1, 1, 1, 1, 0, 2, 0, 1]).reshape(4, 4)
    widest = np.abs(x[:8] @ weight).max()
    np.testing.assert_allclose(made.integer.tensors["h"].scale, 2 * widest / 127, rtol=1e-6)
    for simulator in ("one-by-one", "onnxruntime"):
        assert np.array_equal(made.run(x, simulator=simulator)["y"], made.run(x, simulator="reference")["y"])
    files = made.files("model")
    assert [line.split()[1] for line in files["model.layers"].decode().splitlines()] == ["gemm", "lookup"]
    (magpie / "saved.onnx").write_bytes(files["model.magpie.onnx"])
    done = CliRunner().invoke(quaint, ["chatter", str(magpie / "saved.onnx")])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("2 layers, ")


@pytest.mark.usefixtures("magpie")
def test_keras_layer_of_a_package_is_translated() -> None:
    square = {
        "class_name": "Square",
        "module": "birds",
        "registered_name": "Magpie>Square",
        "config": {"name": "square"},
    }
    x = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": [None, 3], "dtype": "float32"}}
    model = {"class_name": "Sequential", "config": {"name": "squares", "layers": [x, square]}}
    check(model)
    assert [node.op_type for node in convert(model, {}, 3).graph] == ["Mul"]
    square["registered_name"] = "Wren>Square"
    with pytest.raises(QuaintError, match="QM150"):
        check(model)
