from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from quaint.errors import QuaintError
from quaint.samples.spec import TensorSpec, batch_shape, check_dtype, input_specs, to_model

F32 = np.dtype(np.float32)


def spec(*shape: int | None, dtype: str = "float32") -> TensorSpec:
    return TensorSpec("x", shape, np.dtype(dtype))


@pytest.mark.parametrize(
    ("shape", "axis", "layout"),
    [
        ((None, 3, 8, 8), 1, "nchw"),
        ((None, 8, 8, 3), 3, "nhwc"),
        ((1, 1, 49, 10), 1, "nchw"),
        ((None, 16, 8, 8), None, "nchw"),
        ((None, 8), None, "nchw"),
        ((None, 3, 8), None, "nchw"),
    ],
)
def test_layout(shape: tuple[int | None, ...], axis: int | None, layout: str) -> None:
    assert spec(*shape).image_axis == axis
    assert spec(*shape).layout == layout


@pytest.mark.parametrize(
    ("shape", "model", "layout", "expected"),
    [
        ((5, 3, 8, 9), (1, 3, 8, 9), None, (5, 3, 8, 9)),
        ((3, 8, 9), (None, 3, 8, 9), None, (1, 3, 8, 9)),
        ((5, 3, 8, 9), (None, 3, None, None), None, (5, 3, 8, 9)),
        ((5, 8, 9, 3), (None, 3, 8, 9), "nhwc", (5, 8, 9, 3)),
        ((5, 8, 9, 3), (None, 3, None, None), "nhwc", (5, 8, 9, 3)),
        ((5, 3, 8, 9), (None, 8, 9, 3), "nchw", (5, 3, 8, 9)),
        ((8, 9, 3), (None, 3, 8, 9), "nhwc", (1, 8, 9, 3)),
        ((5, 4), (None, 4), "nhwc", (5, 4)),
        ((5,), (None,), None, (5,)),
    ],
)
def test_shapes_that_fit(
    shape: tuple[int, ...], model: tuple[int | None, ...], layout: str | None, expected: tuple[int, ...]
) -> None:
    assert batch_shape(shape, spec(*model), layout, "x.npy") == expected


@pytest.mark.parametrize(
    ("shape", "model", "layout", "code", "text"),
    [
        ((5, 3, 8, 8), (None, 3, 9, 9), None, "QC210", "got [5, 3, 8, 8], expected [N, 3, 9, 9]"),
        ((5, 8), (None, 3, 9, 9), None, "QC210", "expected [N, 3, 9, 9]"),
        ((), (None, 3), None, "QC210", "got []"),
        ((5, 8, 9, 3), (None, 3, 8, 9), None, "QC211", "look like NHWC"),
        ((5, 8, 9, 3), (None, 3, None, None), None, "QC211", "--layout nhwc"),
        ((5, 3, 8, 9), (None, 8, 9, 3), None, "QC211", "--layout nchw"),
        ((8, 9, 3), (None, 3, 8, 9), None, "QC211", "got [1, 8, 9, 3]"),
        ((5, 3, 8, 9), (None, 3, 8, 9), "nhwc", "QC210", "expected [N, 8, 9, 3]"),
        ((0, 3, 8, 8), (None, 3, 8, 8), None, "QC201", "no samples"),
        ((4, 3, 0, 8), (None, 3, None, 8), None, "QC201", "no samples"),
    ],
)
def test_shapes_that_do_not(
    shape: tuple[int, ...], model: tuple[int | None, ...], layout: str | None, code: str, text: str
) -> None:
    with pytest.raises(QuaintError) as caught:
        batch_shape(shape, spec(*model), layout, "x.npy")
    assert caught.value.code == code
    assert text in str(caught.value)
    assert "x.npy" in str(caught.value)


@pytest.mark.parametrize(
    ("samples", "model"),
    [("float64", "float32"), ("uint8", "float32"), ("int64", "float32"), ("bool", "float32"), ("int64", "uint8"),
     ("float32", "float16"), ("bool", "int8"), ("bool", "bool"), (">f4", "float32")],
)  # fmt: skip
def test_casts_that_are_made(samples: str, model: str) -> None:
    taken = spec(None, 2, dtype=model)
    check_dtype(np.dtype(samples), taken, "x.npy")
    values = to_model(np.array([[0, 1]], samples), taken, None, "x.npy")
    assert values.dtype == taken.dtype
    assert values.dtype.isnative
    assert values.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("samples", "model"),
    [("float32", "int8"), ("float64", "int64"), ("uint8", "bool"), ("complex64", "float32"), ("U3", "float32")],
)
def test_casts_that_would_lose(samples: str, model: str) -> None:
    with pytest.raises(QuaintError) as caught:
        check_dtype(np.dtype(samples), spec(None, 2, dtype=model), "x.npy")
    assert caught.value.code == "QC213"


def test_integers_must_fit() -> None:
    with pytest.raises(QuaintError, match="values 0 to 256 do not fit the model's uint8"):
        to_model(np.array([[0, 256]]), spec(None, 2, dtype="uint8"), None, "x.npy")


@pytest.mark.parametrize(("model", "layout"), [((None, 3, 2, 4), "nhwc"), ((None, 2, 4, 3), "nchw")])
def test_layout_is_brought_into_the_models(model: tuple[int | None, ...], layout: str) -> None:
    wanted = np.arange(48, dtype=np.float32).reshape(2, *(size or 0 for size in model[1:]))
    given = wanted.transpose((0, 2, 3, 1) if layout == "nhwc" else (0, 3, 1, 2))
    values = to_model(given, spec(*model), layout, "x.npy")
    np.testing.assert_array_equal(values, wanted)
    assert values.flags.c_contiguous


def test_specs_of_a_model() -> None:
    model = ir.from_onnx_text("""
        <ir_version: 10, opset_import: ["" : 20]>
        agraph (float[N, 3, 8, W] x, int64[1, 4] tokens, float[2] w) => (float[N, 3, 8, W] y)
        <float[2] w = {1.0, 2.0}> { y = Relu(x) }
    """)
    x, tokens = input_specs(model)
    assert x == TensorSpec("x", (None, 3, 8, None), F32)
    assert tokens == TensorSpec("tokens", (1, 4), np.dtype(np.int64))
