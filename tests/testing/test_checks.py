"""Every check of the conformance suite fails on what it is there to find."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import pytest

from quaint.integer import IntegerModel, Layer
from quaint.layers.kernels import KERNELS
from quaint.numerics import IntType, QuantParams
from quaint.testing import checks, zoo

if TYPE_CHECKING:
    from collections.abc import Callable

STEP = QuantParams(np.float64(0.5), IntType(8, signed=True))
CLIP = Layer("clip", ("x",), ("y",), {}, {"low": 0, "high": 9}, name="relu0", nodes=("relu0",))
OUT = Layer("dequantizer", ("y",), ("z",), {"scale": np.float32(0.5), "zero_point": np.int64(0)}, name="out")
MODEL = IntegerModel(
    "m", ("x",), ("z",), (CLIP, OUT), {"x": STEP, "y": STEP}, dict.fromkeys("xyz", (None, 3)), "quaint.test"
)

BROKEN: dict[str, tuple[Callable[[], IntegerModel], str]] = {
    "no kernel": (lambda: with_layers(replace(CLIP, op="relax"), OUT), "layer 'relu0' .relax. has no kernel"),
    "order": (lambda: with_layers(OUT, CLIP), "reads .'y'. before they are made"),
    "twice": (lambda: with_layers(CLIP, replace(CLIP, name="again"), OUT), "makes .'y'. a second time"),
    "no shape": (lambda: replace(MODEL, shapes={"x": (None, 3), "z": (None, 3)}), "no shapes of .'y'."),
    "no parameters": (lambda: replace(MODEL, tensors={"x": STEP}), "float and integer tensors in the wrong places"),
    "float output": (lambda: replace(MODEL, tensors={**MODEL.tensors, "z": STEP}), "in the wrong places"),
    "double": (lambda: with_layers(replace(CLIP, constants={"c": np.ones(2)}), OUT), "c is float64"),
    "no output": (lambda: replace(MODEL, outputs=("w",)), "an output is never made"),
}


def with_layers(*layers: Layer) -> IntegerModel:
    return replace(MODEL, layers=layers)


def test_whole_model_passes() -> None:
    checks.check_integer_model(MODEL, KERNELS)


@pytest.mark.parametrize(("make", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_model_is_found(make: Callable[[], IntegerModel], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        checks.check_integer_model(make(), KERNELS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "without a name"),
        ({"name": "out"}, "two layers of one name"),
        ({"nodes": ()}, "names no nodes"),
        ({"nodes": ("relu7",)}, "names nodes that the model does not have"),
    ],
)
def test_names(change: dict[str, Any], message: str) -> None:
    source = ir.from_proto(zoo.load("relu").model)
    checks.check_names(MODEL, source)
    with pytest.raises(AssertionError, match=message):
        checks.check_names(with_layers(replace(CLIP, **change), OUT), source)


@pytest.mark.parametrize(
    ("line", "message"),
    [("relu7 (Relu): too long", "names no node"), ("relu0 (Relu):  ", "gives no reason"), ("no", "names no node")],
)
def test_refusals(line: str, message: str) -> None:
    source = ir.from_proto(zoo.load("relu").model)
    checks.check_refusals(source, ["relu0 (Relu): too long", "input (input): two layers read it"])
    with pytest.raises(AssertionError, match=message):
        checks.check_refusals(source, ["relu0 (Relu): too long", line])


def test_same_tensors() -> None:
    x = np.arange(6, dtype=np.int8).reshape(2, 3)
    checks.check_same("x", x, x.copy())
    other = x.copy()
    other[1, 2] = 0
    message = r"'x' differs at 1 of 6 places, first \(1, 2\): 0, not 5"
    for wrong, said in ((other, message), (x.astype(np.int16), "is int16, not int8"), (x[:1], r"has shape \(1, 3\)")):
        with pytest.raises(AssertionError, match=said):
            checks.check_same("x", wrong, x)


def test_same_models() -> None:
    other = QuantParams(np.float64(0.25), IntType(8, signed=True))
    checks.check_same_model(with_layers(replace(CLIP), replace(OUT)), MODEL)
    for wrong, said in (
        (replace(MODEL, tensors={"x": STEP, "y": other}), "tensors differ"),
        (with_layers(replace(CLIP, attributes={"low": 0, "high": 8}), OUT), "attributes of layer 'relu0' differ"),
        (with_layers(CLIP, replace(OUT, constants={})), "constants of layer 'out' differ"),
        (with_layers(CLIP, replace(OUT, constants={**OUT.constants, "scale": np.float32(1)})), "tensor 'out.scale'"),
    ):
        with pytest.raises(AssertionError, match=said):
            checks.check_same_model(wrong, MODEL)


def test_noise_is_power_over_power() -> None:
    assert checks.noise(np.array([3.0, 4.5]), np.array([3.0, 4.0])) == pytest.approx(0.25 / 25)


def test_random_integers_reach_the_extremes() -> None:
    (values,) = checks.random_integers(MODEL).values()
    assert values.dtype == np.int8
    assert values.shape == (checks.RANDOM_SAMPLES, 3)
    assert (values.min(), values.max()) == (-128, 127)
    assert np.array_equal(values, checks.random_integers(MODEL)["x"])


def test_onnx_in_batches() -> None:
    given = zoo.load("small_cnn")
    data = given.model.SerializeToString()
    whole, single = checks.run_onnx(data, given.samples), checks.run_onnx(data, given.samples, batch=5)
    np.testing.assert_allclose(whole["gemm0"], single["gemm0"], rtol=1e-4, atol=1e-5)
