"""Operands: times the weights they give what the node gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quaint import pipeline
from quaint.config import Config
from quaint.floatmodel import FloatModel
from quaint.quantizers.patches import operands
from quaint.quantizers.weights import array
from quaint.testing.builder import Builder


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((6, 4, 3, 3), {}),
        ((6, 4, 1, 1), {}),
        ((6, 4, 3, 2), {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
        ((6, 4, 3, 3), {"dilations": [2, 1], "pads": [0, 1, 0, 1]}),
        ((4, 1, 3, 3), {"group": 4}),
        ((6, 2, 3, 3), {"group": 2, "strides": [3, 2]}),
    ],
)
def test_products_are_the_outputs(shape: tuple[int, ...], attributes: dict[str, Any]) -> None:
    build, random = Builder("one"), np.random.default_rng(0)
    weight, bias = build.constant(random.normal(0, 1, shape)), build.constant(np.zeros(shape[0]))
    x = build.op("Conv", build.input(4, 9, 8), weight, bias, **attributes)
    model = pipeline.canonical(pipeline.load_model(build.build(x)), Config())
    node = next(node for node in model.graph if node.op_type == "Conv")
    feeds = random.normal(0, 1, (3, 4, 9, 8)).astype(np.float32)
    out = next(iter(FloatModel(model).run({"input": feeds}).values()))
    rows = operands(node, feeds, 10**6)
    filters = array(node, 1).reshape(len(rows), shape[0] // len(rows), -1)
    made = np.einsum("gpn,gmn->pgm", rows, filters).reshape(-1, shape[0])
    np.testing.assert_allclose(made, np.moveaxis(out, 1, -1).reshape(-1, shape[0]), atol=1e-4)
    assert operands(node, feeds, 7).shape == (len(rows), 7, rows.shape[2])
