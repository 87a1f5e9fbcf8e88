"""Convolutions, pooling, padding and resizing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from quaint import pipeline
from quaint.config import Config
from quaint.floatmodel import FloatModel
from quaint.graph import attribute, constant, input_at

Canonical = Callable[..., ir.Model]
Ops = Callable[[ir.Model], list[str]]


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_auto_pad_of_conv(canonical: Canonical, rng: np.random.Generator, mode: str, kernel: int, stride: int) -> None:
    model = canonical(
        f"""(float[N,2,10,11] x) => (float[N,3,H,W] y) {{
            y = Conv <auto_pad = "{mode}", strides = [{stride},1]> (x, w) }}""",
        w=weights(rng, 3, 2, kernel, 2),
    )
    assert attribute(model.graph[0], "kernel_shape") == (kernel, 2)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("extra", ["", "ceil_mode = 1,", 'auto_pad = "SAME_LOWER",', "pads = [1,0,0,1],"])
def test_pooling(canonical: Canonical, ops: Ops, op: str, extra: str) -> None:
    model = canonical(
        f"(float[N,2,9,12] x) => (float[N,2,H,W] y) {{ y = {op} <{extra} kernel_shape = [3,2], strides = [2,2]> (x) }}",
        19,
    )
    assert ops(model) == [op]
    assert attribute(model.graph[0], "ceil_mode") == 0


def test_ceil_mode_stays_where_it_matters(canonical: Canonical) -> None:
    model = canonical(
        """(float[N,2,10,10] x) => (float[N,2,H,W] y) {
            y = MaxPool <ceil_mode = 1, kernel_shape = [3,3], strides = [2,2]> (x) }"""
    )
    assert attribute(model.graph[0], "ceil_mode") == 1


@pytest.mark.parametrize(
    "extra",
    [
        "",
        'auto_pad = "SAME_UPPER",',
        'auto_pad = "SAME_LOWER",',
        "output_shape = [9,9],",
        "pads = [1,0,0,1], output_padding = [1,0],",
    ],
)
def test_transposed_conv(canonical: Canonical, ops: Ops, rng: np.random.Generator, extra: str) -> None:
    model = canonical(
        f"(float[N,4,5,5] x) => (float[N,3,H,W] y) {{ y = ConvTranspose <{extra} strides = [2,2]> (x, w) }}",
        w=weights(rng, 4, 3, 3, 3),
    )
    assert ops(model) == ["ConvTranspose"]
    assert constant(model.graph[0].inputs[2]).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("layer", "pads", "folds"),
    [
        ("Conv (p, w)", [0, 0, 1, 2, 0, 0, 3, 0], True),
        ("Conv <pads = [1,1,1,1]> (p, w)", [0, 0, 1, 0, 0, 0, 0, 1], True),
        ("Conv (p, w)", [0, 0, -1, 0, 0, 0, 0, 0], False),
        ("AveragePool <kernel_shape = [3,3]> (p)", [0, 0, 1, 1, 0, 0, 1, 1], True),
        ("AveragePool <kernel_shape = [3,3], pads = [1,1,1,1]> (p)", [0, 0, 1, 1, 0, 0, 1, 1], False),
        ("AveragePool <kernel_shape = [3,3]> (p)", [0, 0, 3, 0, 0, 0, 0, 0], False),
        ("MaxPool <kernel_shape = [3,3]> (p)", [0, 0, 1, 1, 0, 0, 1, 1], False),
    ],
)
def test_zero_padding(
    canonical: Canonical, ops: Ops, rng: np.random.Generator, layer: str, pads: list[int], folds: bool
) -> None:
    model = canonical(
        f"(float[N,2,8,8] x) => (float[N,2,H,W] y) {{ p = Pad (x, pads)  y = {layer} }}",
        w=weights(rng, 2, 2, 3, 3),
        pads=np.array(pads),
    )
    assert ("Pad" not in ops(model)) == folds


@pytest.mark.parametrize(
    ("mode", "fill", "pads"),
    [
        ("reflect", 0, [0, 0, 1, 1, 0, 0, 1, 1]),
        ("constant", 1, [0, 0, 1, 1, 0, 0, 1, 1]),
        ("constant", 0, [0, 1, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_other_padding_stays(
    canonical: Canonical, ops: Ops, rng: np.random.Generator, mode: str, fill: float, pads: list[int]
) -> None:
    model = canonical(
        f"""(float[N,2,8,8] x) => (float[N,2,H,W] y) {{
            p = Pad <mode = "{mode}"> (x, pads, fill)  y = Conv <pads = [1,1,1,1]> (p, w) }}""",
        w=weights(rng, 2, 3 if pads[1] else 2, 3, 3),
        pads=np.array(pads),
        fill=np.array(fill, np.float32),
    )
    assert ops(model) == ["Pad", "Conv"]


def test_many_pads_in_a_row(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    body = " ".join(f"p{i + 1} = Pad (p{i}, pads)" for i in range(70))
    model = canonical(
        f"(float[1,1,3,3] p0) => (float[1,1,H,W] y) {{ {body} y = Conv (p70, w) }}",
        w=weights(rng, 1, 1, 1, 1),
        pads=np.array([0, 0, 1, 0, 0, 0, 0, 0]),
    )
    assert ops(model) == ["Conv"]


def test_padding_with_axes(canonical: Canonical, ops: Ops, rng: np.random.Generator) -> None:
    model = canonical(
        "(float[N,2,8,8] x) => (float[N,2,H,W] y) { p = Pad (x, pads, , axes)  y = Conv (p, w) }",
        w=weights(rng, 2, 2, 3, 3),
        pads=np.array([1, 2, 3, 4]),
        axes=np.array([-1, 2]),
    )
    assert ops(model) == ["Conv"]
    assert attribute(model.graph[0], "pads") == (2, 1, 4, 3)


@pytest.mark.parametrize(
    ("body", "pooled"),
    [
        ("y = ReduceMean <axes = [2,3], keepdims = 1> (x)", ["GlobalAveragePool"]),
        ("y = ReduceMean <axes = [-1,-2], keepdims = 0> (x)", ["GlobalAveragePool", "Flatten"]),
        ("y = AveragePool <kernel_shape = [5,6]> (x)", ["GlobalAveragePool"]),
        ("y = AveragePool <kernel_shape = [5,6], strides = [5,6]> (x)", ["GlobalAveragePool"]),
        ("y = AveragePool <kernel_shape = [5,5]> (x)", ["AveragePool"]),
        ("y = ReduceMean <axes = [3], keepdims = 1> (x)", ["ReduceMean"]),
        ("y = ReduceMean <axes = [1,2,3], keepdims = 0> (x)", ["ReduceMean"]),
    ],
)
def test_global_average(canonical: Canonical, ops: Ops, body: str, pooled: list[str]) -> None:
    dims = "N" if "[1,2,3]" in body else "N,A" if "keepdims = 0" in body else "N,A,B,C"
    model = canonical(f"(float[N,3,5,6] x) => (float[{dims}] y) {{ [mean] {body} }}", 13)
    assert ops(model) == pooled
    assert model.graph[0].name == "mean"


@pytest.mark.parametrize("kind", ["nearest", "linear"])
@pytest.mark.parametrize(("height", "width", "scaled"), [(16, 32, True), (4, 2, True), (12, 12, False), (3, 16, False)])
def test_resize_by_sizes(canonical: Canonical, kind: str, height: int, width: int, scaled: bool) -> None:
    model = canonical(
        f'(float[2,3,8,8] x) => (float[2,3,{height},{width}] y) {{ y = Resize <mode = "{kind}"> (x, , , sizes) }}',
        sizes=np.array([2, 3, height, width]),
    )
    (node,) = model.graph
    assert (constant(input_at(node, 2)) is not None) == scaled
    assert model.metadata_props["quaint.batch"] == "symbolic"


def test_resize_by_a_third(canonical: Canonical) -> None:
    model = canonical(
        "(float[1,1,9,9] x) => (float[1,1,3,3] y) { y = Resize <axes = [2,3]> (x, , , sizes) }", sizes=np.array([3, 3])
    )
    assert attribute(model.graph[0], "axes") == (2, 3)


def parsed(body: str) -> ir.Model:
    text = f'<ir_version: 10, opset_import: ["": 21]> g {body}'
    return pipeline.canonical(ir.from_proto(onnx.parser.parse_model(text)), Config())


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_windows_that_would_begin_in_the_border(op: str) -> None:
    """Rounding up counts none of them; what follows has the sizes that runtimes give, not those of ``onnx.checker``."""
    pooling = f"y = {op} <ceil_mode = 1, kernel_shape = [1,1], strides = [2,1]> (x)"
    model = parsed(f"(float[N,2,4,6] x) => (float[N,2,H,W] z) {{ {pooling} z = Abs (y) }}")
    assert [tuple(node.outputs[0].shape)[2:] for node in model.graph] == [(2, 6)] * 2


def test_zeros_before_a_maximum_count() -> None:
    """onnxruntime by itself would make them minus infinity."""
    zeros = "pads = Constant <value_ints = [0,0,0,0,0,0,1,1]> () y = Pad (x, pads)"
    model = parsed(f"(float[N,1,2,2] x) => (float[N,1,1,1] z) {{ {zeros} z = MaxPool <kernel_shape = [3,3]> (y) }}")
    (result,) = FloatModel(model).run({"x": np.full((1, 1, 2, 2), -1, np.float32)}).values()
    assert result.item() == 0
