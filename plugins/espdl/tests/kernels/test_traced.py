"""Float kernels in onnxruntime: traced, never handed to the reference, and the same bits; saved files too."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from quaint.integer import IntegerModel, Layer
from quaint.layers.kernels import KERNELS as CORE
from quaint.numerics import IntType, QuantParams
from quaint.simulators.exact import Exact
from quaint.simulators.onnxruntime import OnnxRuntime, Segment, divide
from quaint.simulators.reference import Reference
from quaint.simulators.saved import to_bytes
from quaint_espdl.kernels import KERNELS
from quaint_espdl.kernels.reductions import REAL_REDUCTIONS, REDUCTIONS

SHAPE = (3, 4, 5)
ALL = {**CORE, **KERNELS}
REDUCED: dict[str, Any] = {"axes": [1, 2], "shape": [-1, 1, 1]}
WEIGHT = np.linspace(-1, 2, 5, dtype=np.float32)

LAYERS: list[tuple[str, int, dict[str, Any], dict[str, Any]]] = [
    ("Div", 2, {}, {"factor": 8.0, "inverse": False}),
    ("Div", 1, {"constant": np.array([[3]])}, {"factor": 4.0, "inverse": True}),
    ("Div", 1, {"constant": np.array([[1, 2, 3, 4, -50]])}, {"factor": 4.0, "inverse": False, "from_constant": True}),
    ("Mod", 2, {}, {"scale": 0.5, "scale_y": 0.25}),
    ("Softmax", 1, {}, {"scale": 2.0**-5, "axis": 1}),
    ("LogSoftmax", 1, {}, {"scale": 2.0**-5, "axis": -1}),
    ("Resize", 1, {}, {"scale": 0.5, "axes": [2], "low_index": [[0, 0, 1, 3]], "fraction": [[0.0, 0.3, 0.7, 1.0]]}),
    ("ReduceMean", 1, {}, {"scale": 0.5, **REDUCED}),
    ("LayerNormalization", 1, {"weight": WEIGHT, "bias": WEIGHT[::-1]}, {"scale": 0.5, "axis": 2, "epsilon": 1e-5}),
    ("LayerNormalization", 1, {}, {"scale": 0.5, "axis": 1, "epsilon": 1e-5}),
    ("RMSNormalization", 1, {"weight": WEIGHT}, {"scale": 0.5, "axis": 2, "epsilon": 1e-5}),
    ("LpNormalization", 1, {}, {"scale": 0.5, "axis": 1, "p": 1}),
    ("LpNormalization", 1, {}, {"scale": 0.5, "axis": 2, "p": 2}),
    *(("Reduce", 1, {}, {"function": function, **REDUCED}) for function in REDUCTIONS),
]
REALS: list[tuple[str, int, dict[str, Any], dict[str, Any]]] = [
    *(
        ("Reduce", 1, {}, {"function": function, "scale": 1.0, **REDUCED})
        for function in (REDUCTIONS | REAL_REDUCTIONS)
    ),
    *(
        ("Unary", 1, {}, {"function": function, "attributes": {"alpha": 0.3, "max": 1.5}})
        for function in (
            "Relu",
            "LeakyRelu",
            "Sigmoid",
            "Tanh",
            "Swish",
            "HardSigmoid",
            "HardSwish",
            "Elu",
            "Exp",
            "Log",
        )
    ),
    ("Unary", 1, {}, {"function": "Clip", "attributes": {"min": -0.5}}),
    ("Unary", 1, {}, {"function": "Sqrt", "attributes": {}}),
    *(("Binary", 2, {}, {"function": function}) for function in ("Add", "Sub", "Mul", "Div")),
    ("Softmax", 1, {}, {"scale": 1.0, "axis": 1, "bits": 16}),
    ("LogSoftmax", 1, {}, {"scale": 1.0, "axis": 1, "bits": 16}),
    ("ReduceMean", 1, {}, {"scale": 1.0, **REDUCED}),
    ("LpNormalization", 1, {}, {"scale": 1.0, "axis": 2, "p": 2}),
    ("FloatTranspose", 1, {}, {"perm": [0, 2, 1]}),
    ("FloatConcat", 2, {}, {"axis": 1}),
]


def model(layer: Layer, shape: tuple[int, ...], kinds: dict[str, IntType]) -> IntegerModel:
    free = (None, *shape[1:])
    tensors = {name: QuantParams(np.ones(()), kind) for name, kind in kinds.items()}
    shapes = dict.fromkeys(layer.inputs, free) | {"y": (None, *(None for _ in shape[1:]))}
    return IntegerModel("m", layer.inputs, layer.outputs, (layer,), tensors, shapes, "quaint.espdl")


def prove(made: IntegerModel, feeds: dict[str, Any]) -> None:
    assert all(isinstance(step, Segment) for step in divide(made, ALL)), "runs on the reference"
    truth = Reference(made, ALL).run(feeds)["y"]
    assert np.isfinite(truth).any()
    assert len(np.unique(truth)) > 1
    session = ort.InferenceSession(to_bytes(made, ALL, {}))
    for result in (OnnxRuntime(made, ALL, threads=1).run(feeds)["y"], session.run(["y"], feeds)[0]):
        assert result.dtype == truth.dtype
        np.testing.assert_array_equal(result, truth)


@pytest.mark.parametrize("rounding", ["half_even", "half_up"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("op", "count", "constants", "attributes"), LAYERS)
def test_integers(op: str, count: int, constants: Any, attributes: Any, bits: int, rounding: str) -> None:
    kind = IntType(bits, signed=True)
    stage = {"low": kind.low, "high": kind.high, "rounding": rounding}
    stage |= {"scale": 2.0 ** (2 - bits)} if op == "Reduce" else {}
    stage |= {"bits": bits} if "oftmax" in op else {}
    stage |= {"factor": 2.0 ** (bits - 1)} if "from_constant" in attributes else {}
    names = ("x", "z")[:count]
    rng = np.random.default_rng(bits)
    feeds = {name: rng.integers(kind.low, kind.high, SHAPE, kind.storage, endpoint=True) for name in names}
    if op != "Div":
        wide = (array.astype(np.int64) for array in feeds.values())
        reals = ALL[op](Exact(), *wide, **constants, **attributes, **stage, out_scale=None)
        stage["out_scale"] = float(np.exp2(np.ceil(np.log2(np.nanmax(np.abs(reals)) / kind.high))))
    layer = Layer(op, names, ("y",), constants, {**attributes, **stage})
    prove(model(layer, SHAPE, dict.fromkeys((*names, "y"), kind)), feeds)


def test_powers_of_pairs() -> None:
    kind = IntType(8, signed=True)
    stage = {
        "scale": 2.0**-6,
        "scale_y": 2.0**-5,
        "out_scale": 2.0**-4,
        "low": -128,
        "high": 127,
        "rounding": "half_even",
    }
    x, z = (grid.reshape(1, -1).astype(np.int8) for grid in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))
    made = model(Layer("Pow", ("x", "z"), ("y",), {}, stage), x.shape, dict.fromkeys("xyz", kind))
    prove(made, {"x": x, "z": z})


@pytest.mark.parametrize(("op", "count", "constants", "attributes"), REALS)
def test_reals(op: str, count: int, constants: Any, attributes: Any) -> None:
    moving = op in {"Unary", "Binary"} or op.startswith("Float")
    stage = {} if moving else {"out_scale": None, "low": 0, "high": 0, "rounding": "half_even"}
    rng = np.random.default_rng(1)
    names = ("x", "z")[:count]
    feeds = {name: (rng.normal(size=SHAPE) * 3).astype(np.float32) for name in names}
    prove(model(Layer(op, names, ("y",), constants, {**attributes, **stage}), SHAPE, {}), feeds)
