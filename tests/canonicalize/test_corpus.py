"""Real models and a corpus of exporters' styles: canonical, idempotent, and the same floats."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir
import pytest

from quaint.canonicalize import BATCH_KEY, canonicalize

if TYPE_CHECKING:
    from collections.abc import Callable

_DATA = Path(os.environ.get("QUAINT_TEST_DATA", Path(__file__).parents[2] / "../shared/data"))
_MODELS = sorted([*_DATA.glob("models/*.onnx"), *_DATA.glob("corpus/*.onnx")], key=lambda path: path.stem)
#: A class token that was expanded to the batch of the export.
_FIXED = {"tiny_vit", "tiny_vit_dynamo_op20"}

pytestmark = pytest.mark.skipif(not _MODELS, reason="no models: set QUAINT_TEST_DATA")


@pytest.mark.parametrize("path", _MODELS, ids=lambda path: path.stem)
def test_model(path: Path, canonical_of: Callable[[ir.Model], ir.Model]) -> None:
    model = canonical_of(ir.load(path))
    assert model.metadata_props[BATCH_KEY] == ("fixed" if path.stem in _FIXED else "symbolic")


def test_speed() -> None:
    model = ir.load(_DATA / "models/mobilenet_v2_100_224.onnx")
    start = time.perf_counter()
    canonicalize(model)
    assert time.perf_counter() - start < 1
