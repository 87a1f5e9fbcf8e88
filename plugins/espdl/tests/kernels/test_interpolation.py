"""Linear interpolation against onnxruntime's, to within rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from quaint.simulators.exact import Exact
from quaint_espdl.kernels.interpolation import neighbours, resize_linear


def reference(x: np.ndarray, sizes: list[int], place: str) -> Any:
    node = helper.make_node(
        "Resize", ["x", "", "", "sizes"], ["y"], mode="linear", coordinate_transformation_mode=place
    )
    sized = helper.make_tensor("sizes", TensorProto.INT64, [x.ndim], [*x.shape[:2], *sizes])
    x_info, y_info = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy")
    graph = helper.make_graph([node], "resize", [x_info], [y_info], [sized])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return ort.InferenceSession(model.SerializeToString()).run(None, {"x": x.astype(np.float32)})[0]


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("sizes", [[8, 15], [3, 4], [4, 5], [7, 2]])
def test_as_the_float_operator(corners: bool, sizes: list[int]) -> None:
    x = np.random.default_rng(0).integers(-128, 128, (1, 3, 4, 5))
    scales = [new / old for new, old in zip(sizes, x.shape[2:], strict=True)]
    stage = {"scale": 1.0, "out_scale": 1.0, "low": -128, "high": 127, "rounding": "half_even"}
    made = resize_linear(Exact(), x, sizes=sizes, scales=scales, align_corners=corners, **stage)
    wanted = reference(x, sizes, "align_corners" if corners else "half_pixel")
    assert np.abs(made - wanted).max() <= 0.5001


def test_beyond_the_ends_it_is_the_last_entry() -> None:
    low, part = neighbours(3, 6, np.float32(2), align_corners=False)
    assert low == [0, 0, 0, 1, 1, 1]
    assert part == [0.0, 0.25, 0.75, 0.25, 0.75, 1.0]


def test_a_single_entry_is_everywhere() -> None:
    assert neighbours(1, 3, np.float32(3), align_corners=False) == ([0, 0, 0], [1.0, 1.0, 1.0])
