"""Multiply-accumulates: counted by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from quaint.macs import macs_of

if TYPE_CHECKING:
    from pathlib import Path

    from quaint.quantized import Quantized


def model(op: str, x: list[Any], y: list[Any], weight: tuple[int, ...], **attributes: Any) -> ir.Model:
    node = helper.make_node(op, ["x", "w"], ["y"], name="n", **attributes)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", x), ("y", y))]
    w = numpy_helper.from_array(np.zeros(weight, np.float32), "w")
    return ir.from_proto(helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:], [w])))


@pytest.mark.parametrize(
    ("op", "x", "y", "weight", "attributes", "macs"),
    [
        ("Conv", ["N", 3, 8, 8], ["N", 16, 6, 6], (16, 3, 3, 3), {}, 16 * 36 * 27),
        ("Conv", ["N", 8, 8, 8], ["N", 8, 8, 8], (8, 1, 1, 1), {"group": 8}, 8 * 64),
        ("ConvTranspose", [1, 4, 5, 5], [1, 6, 10, 10], (4, 6, 2, 2), {"strides": [2, 2]}, 100 * 24),
        ("Gemm", ["N", 64], ["N", 10], (10, 64), {"transB": 1}, 640),
        ("MatMul", ["N", 7, 64], ["N", 7, 10], (64, 10), {}, 4480),
        ("Add", ["N", 4], ["N", 4], (4,), {}, 0),
    ],
)
def test_macs(
    op: str, x: list[Any], y: list[Any], weight: tuple[int, ...], attributes: dict[str, Any], macs: int
) -> None:
    built = model(op, x, y, weight, **attributes)
    assert macs_of(built, ["n"]) == macs
    assert macs_of(built, ["other"]) == 0


def test_digits(quantized: Quantized, digits: Path) -> None:
    assert digits.is_dir()
    assert quantized.source is not None
    names = [node.name or "" for node in quantized.source.graph]
    assert macs_of(quantized.source, names) == 120960
