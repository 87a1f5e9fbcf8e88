"""What the conformance suite asserts of models and tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.integer import DEQUANTIZER, HOST, INPUT_QUANTIZER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.integer import IntegerModel, Kernels, Layer

    Arrays = Mapping[str, NDArray[Any]]

RANDOM_SAMPLES = 8
#: What a refusal says where a pattern's ``check`` fails without a word.
NO_REASON = frozenset({"", "refused"})


def check_refusals(source: ir.Model, lines: Iterable[str]) -> None:
    """Every line is ``node (operator): reason`` with a node of the model and a reason."""
    nodes = {f"{node.name} ({node.op_type}): " for node in source.graph}
    nodes |= {f"{value.name} (input): " for value in source.graph.inputs}
    for line in lines:
        start = next((start for start in nodes if line.startswith(start)), None)
        assert start is not None, f"names no node of the model: {line}"
        assert line.removeprefix(start).strip() not in NO_REASON, f"gives no reason: {line}"


def check_integer_model(model: IntegerModel, kernels: Kernels) -> None:
    """The layers are in order, each has a kernel, and only the layers at the edges touch float tensors."""
    made = set(model.inputs)
    for layer in model.layers:
        where = f"layer {layer.name!r} ({layer.op})"
        assert layer.op in kernels, f"{where} has no kernel"
        missing = [name for name in layer.inputs if name not in made]
        assert not missing, f"{where} reads {missing} before they are made"
        again = [name for name in layer.outputs if name in made]
        assert not again, f"{where} makes {again} a second time"
        made.update(layer.outputs)
        unknown = [name for name in (*layer.inputs, *layer.outputs) if name not in model.shapes]
        assert not unknown, f"{where}: no shapes of {unknown}"
        _check_types(layer, model, where)
    assert set(model.outputs) <= made, "an output is never made"


def _check_types(layer: Layer, model: IntegerModel, where: str) -> None:
    """Integer tensors where integers belong, float ones elsewhere; constants are integers or float32."""
    reads = [name in model.tensors for name in layer.inputs]
    makes = [name in model.tensors for name in layer.outputs]
    match layer.op:
        case "input_quantizer" | "dequantizer":
            wanted = ([layer.op == DEQUANTIZER], [layer.op == INPUT_QUANTIZER])
        case _:
            wanted = ([layer.op != HOST] * len(reads), [layer.op != HOST] * len(makes))
    assert (reads, makes) == wanted, f"{where}: float and integer tensors in the wrong places"
    for name, values in layer.constants.items():
        assert values.dtype.kind in "iu" or values.dtype == np.float32, f"{where}: {name} is {values.dtype}"


def check_names(model: IntegerModel, source: ir.Model) -> None:
    """Layers have names of their own, and say which nodes of the float model they compute."""
    names = [layer.name for layer in model.layers]
    assert all(names), "a layer without a name"
    assert len(set(names)) == len(names), "two layers of one name"
    known = {node.name for node in source.graph}
    for layer in model.integer_layers:
        assert layer.nodes, f"layer {layer.name!r} names no nodes"
        assert known.issuperset(layer.nodes), f"layer {layer.name!r} names nodes that the model does not have"


def check_same(name: str, got: NDArray[Any], wanted: NDArray[Any]) -> None:
    """Two tensors are equal in type, shape and every bit that counts."""
    assert got.dtype == wanted.dtype, f"tensor {name!r} is {got.dtype}, not {wanted.dtype}"
    assert got.shape == wanted.shape, f"tensor {name!r} has shape {got.shape}, not {wanted.shape}"
    count = int(np.count_nonzero(got != wanted))
    if count:
        at = tuple(map(int, np.unravel_index(np.argmax(got != wanted), got.shape)))
        places = f"{count} of {got.size} places, first {at}: {got[at]}, not {wanted[at]}"
        raise AssertionError(f"tensor {name!r} differs at {places}")


def check_same_model(got: IntegerModel, wanted: IntegerModel) -> None:
    """Two integer models are equal in everything."""
    for key in ("name", "inputs", "outputs", "tensors", "shapes", "domain"):
        assert getattr(got, key) == getattr(wanted, key), f"{key} differ"
    assert len(got.layers) == len(wanted.layers)
    for one, other in zip(got.layers, wanted.layers, strict=True):
        for key in ("op", "inputs", "outputs", "attributes", "name", "nodes"):
            assert getattr(one, key) == getattr(other, key), f"{key} of layer {other.name!r} differ"
        assert one.constants.keys() == other.constants.keys(), f"constants of layer {other.name!r} differ"
        for key, values in other.constants.items():
            check_same(f"{other.name}.{key}", one.constants[key], values)


def noise(got: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Power of the error over the power of the signal."""
    error = got.astype(np.float64) - wanted
    return float(np.sum(error**2) / np.sum(wanted.astype(np.float64) ** 2))


def random_integers(model: IntegerModel) -> dict[str, NDArray[Any]]:
    """Integers of the whole range of every integer input, the extremes among them; the same every time."""
    random = np.random.default_rng(0)
    feeds = {}
    for name in model.integer_inputs:
        dtype = model.tensors[name].dtype
        shape = (RANDOM_SAMPLES, *(size or 1 for size in model.shapes[name][1:]))
        values = random.integers(dtype.low, dtype.high, shape, endpoint=True)
        values[0], values[1] = dtype.low, dtype.high
        feeds[name] = values.astype(dtype.storage)
    return feeds


def run_onnx(data: bytes, feeds: Arrays, batch: int | None = None) -> dict[str, NDArray[Any]]:
    """Outputs by name of an ONNX file in plain onnxruntime, ``batch`` samples at a time (all at once if None)."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    count = len(next(iter(feeds.values())))
    starts = range(0, count, batch or count)
    parts = [
        session.run(names, {name: x[start : start + (batch or count)] for name, x in feeds.items()}) for start in starts
    ]
    return {name: np.concatenate([part[i] for part in parts]) for i, name in enumerate(names)}
