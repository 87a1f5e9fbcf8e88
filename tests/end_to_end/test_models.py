"""Real models of many makers: each is quantized, with both simulators agreeing on every tensor, or refused with its reasons."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.floatmodel import FloatModel
from quaint.integer import HOST

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.quantized import Quantized

    Arrays = dict[str, NDArray[Any]]

CALIBRATION, COMPARED, OPEN_SIZE = 4, 1, 8
#: Noise-to-signal power that 8 bits may lead to on random images, which no model was trained on.
NOISE = {"esp32p4": 0.6, "akida2": 0.3, "onnx-qdq": 0.4}


@functools.lru_cache(maxsize=1)
def opened(path: Path) -> tuple[ir.Model, Arrays]:
    """The canonical model and samples for it; of the last model that was asked for."""
    model = pipeline.canonical(pipeline.load_model(path), Config())
    rng = np.random.default_rng(0)
    feeds: Arrays = {}
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


#: Models whose noise at 16 bits has a reason of its own: the options that take it away, and what is left.
LIMITED: dict[str, tuple[dict[str, int], float]] = {
    "yolo_like_pan_silu": ({"table_step": 1}, 1e-4),  # dozens of tables one after the other
    "sr_pixelshuffle_bilinear": ({}, 2e-4),  # a linear Resize has 8 bits on this chip
    "yunet_n_320": ({"table_step": 1}, 1e-3),  # scores of 1e-7, where onnxruntime's float Sigmoid is off by 2**-25
}


# so few samples are few
@pytest.mark.filterwarnings("ignore::quaint.errors.QuaintWarning")
def test_is_quantized_exactly_or_refused(data_model: Path, target: str) -> None:
    model, feeds = opened(data_model)
    try:
        quantized = pipeline.quantize(model.clone(), target, feeds)
    except QuaintError as error:
        check_refusal(error, model)
        return
    integer = quantized.integer
    assert integer.integer_layers
    assert quantized.source is not None
    nodes = names_of_nodes(model) | names_of_nodes(quantized.source)  # a target may rewrite what it cannot run
    assert {node for layer in integer.integer_layers for node in layer.nodes} <= nodes
    assert set(integer.outputs) == {value.name for value in model.graph.outputs}
    batch = integer.shapes[integer.inputs[0]][0] or COMPARED
    one = {name: values[:batch] for name, values in feeds.items()}
    fast = check_simulators(quantized, one)
    check_saved(quantized, one, fast)
    if target in NOISE:
        assert noise(fast, FloatModel(model).run(one)) < NOISE[target]


@pytest.mark.filterwarnings("ignore::quaint.errors.QuaintWarning")
def test_with_sixteen_bits_computes_what_the_float_model_does(data_model: Path) -> None:
    """What is left with so many bits is no lack of precision, but a layer that computes something else."""
    model, feeds = opened(data_model)
    options, bound = LIMITED.get(data_model.stem, ({}, 1e-4))
    config = Config(weight_bits=16, activation_bits=16, options=options)
    try:
        quantized = pipeline.quantize(model.clone(), "esp32p4", feeds, config)
    except QuaintError as error:
        check_refusal(error, model)
        return
    assert noise(quantized.run(feeds), FloatModel(model).run(feeds)) < bound


def check_simulators(quantized: Quantized, feeds: Arrays) -> Arrays:
    """The default simulator gives every integer that the definition gives; all tensors, by the default one."""
    layers = quantized.integer.layers
    names = [name for layer in layers for name in layer.outputs]
    by_definition, fast = (quantized.simulator(name).run(feeds, names) for name in ("reference", "onnxruntime"))
    on_host = {name for layer in layers if layer.op == HOST for name in layer.outputs}
    for name in names:
        if name in on_host:
            np.testing.assert_allclose(fast[name], by_definition[name], rtol=1e-3, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(fast[name], by_definition[name], err_msg=name)
    return fast


def check_saved(quantized: Quantized, feeds: Arrays, fast: Arrays) -> None:
    """Plain onnxruntime gives the same from the saved file."""
    session = ort.InferenceSession(quantized.to_bytes(), providers=["CPUExecutionProvider"])
    for name, values in zip(
        quantized.integer.outputs, session.run(list(quantized.integer.outputs), feeds), strict=True
    ):
        np.testing.assert_allclose(values, fast[name], rtol=1e-3, atol=1e-5, err_msg=name)


def noise(mine: Arrays, real: Arrays) -> float:
    """Noise-to-signal power of the noisiest output."""
    return max(
        float(np.square(mine[name].astype(float) - values).sum() / (np.square(values.astype(float)).sum() + 1e-12))
        for name, values in real.items()
    )


def test_data_is_all_there(data: Path) -> None:
    """What the sweep above goes through is what the data's lists say."""
    import json

    listed = {entry["file"] for entry in json.loads((data / "models.json").read_text())}
    assert {path.name for path in (data / "models").glob("*.onnx")} == listed
