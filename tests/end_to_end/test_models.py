"""Real models of many makers: each is quantized, with both simulators agreeing on every tensor, or refused with its reasons."""

from __future__ import annotations

import functools
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError, QuaintWarning
from quaint.integer import HOST

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir
    from numpy.typing import NDArray

CALIBRATION, COMPARED, OPEN_SIZE = 4, 1, 8


@functools.lru_cache(maxsize=1)
def opened(path: Path) -> tuple[ir.Model, dict[str, NDArray[Any]]]:
    """The canonical model and samples for it; of the last model that was asked for."""
    model = pipeline.canonical(pipeline.load_model(path), Config())
    rng = np.random.default_rng(0)
    feeds: dict[str, NDArray[Any]] = {}
    for value in model.graph.inputs:
        assert value.shape is not None
        assert value.dtype is not None
        shape = [size if isinstance(size, int) else OPEN_SIZE for size in value.shape]
        shape[0] = value.shape[0] if isinstance(value.shape[0], int) else CALIBRATION
        drawn = rng.integers(0, 4, shape) if value.dtype.is_integer() else rng.normal(0, 1, shape)
        feeds[value.name or ""] = drawn.astype(value.dtype.numpy())
    return model, feeds


def names_of_nodes(model: ir.Model) -> set[str]:
    return {node.name or "" for node in model.graph}


def check_refusal(error: QuaintError, model: ir.Model) -> None:
    """It says of nodes that there are why they cannot run."""
    assert re.fullmatch(r"QT3\d\d", error.code), str(error)
    assert "\n" not in str(error)
    if error.code != "QT310":
        return
    assert error.details
    names = names_of_nodes(model)
    for line in error.details:
        found = re.fullmatch(r"(.*) \((\w+)\): (.+)", line)
        assert found is not None, line
        assert found[1] in names, f"no node is called {found[1]!r}"
        assert len(found[3]) > 10, f"no reason: {line}"


def test_is_quantized_exactly_or_refused(data_model: Path, target: str) -> None:
    model, feeds = opened(data_model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", QuaintWarning)  # so few samples are few
            quantized = pipeline.quantize(model.clone(), target, feeds)
    except QuaintError as error:
        check_refusal(error, model)
        return
    integer = quantized.integer
    assert integer.integer_layers
    assert {node for layer in integer.integer_layers for node in layer.nodes} <= names_of_nodes(model)
    batch = integer.shapes[integer.inputs[0]][0] or COMPARED
    one = {name: values[:batch] for name, values in feeds.items()}
    names = [name for layer in integer.layers for name in layer.outputs]
    by_definition, fast = (quantized.simulator(name).run(one, names) for name in ("reference", "onnxruntime"))
    on_host = {name for layer in integer.layers if layer.op == HOST for name in layer.outputs}
    for name in names:
        if name in on_host:
            np.testing.assert_allclose(fast[name], by_definition[name], rtol=1e-3, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(fast[name], by_definition[name], err_msg=name)
    assert set(integer.outputs) == {value.name for value in model.graph.outputs}


def test_data_is_all_there(data: Path) -> None:
    """What the sweep above goes through is what the data's lists say."""
    import json

    listed = {entry["file"] for entry in json.loads((data / "models.json").read_text())}
    assert {path.name for path in (data / "models").glob("*.onnx")} == listed
