"""A small sound model to break, and what every refusal has to keep."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from quaint.errors import QuaintError
from quaint.frontends.onnx import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def tensor(name: str, *shape: int) -> TensorProto:
    values = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    return numpy_helper.from_array(values, name)


@pytest.fixture
def model() -> ModelProto:
    """Conv, Relu, GlobalAveragePool, Flatten, Gemm; opset 17."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["t1"], "conv1"),
        helper.make_node("Relu", ["t1"], ["t2"], "relu1"),
        helper.make_node("GlobalAveragePool", ["t2"], ["t3"], "pool"),
        helper.make_node("Flatten", ["t3"], ["t4"], "flat"),
        helper.make_node("Gemm", ["t4", "w2"], ["y"], "fc"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
        [tensor("w1", 4, 3, 3, 3), tensor("b1", 4), tensor("w2", 4, 2)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def snapshot(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def refuses(tmp_path: Path) -> Callable[[Path | ModelProto, str, str], None]:
    """Loading a file is refused with a code and a culprit, in one line; no file is made or changed."""

    def check(source: Path | ModelProto, code: str, culprit: str) -> None:
        path = tmp_path / "model.onnx" if isinstance(source, ModelProto) else source
        if isinstance(source, ModelProto):
            path.write_bytes(source.SerializeToString())
        before = snapshot(tmp_path)
        with pytest.raises(QuaintError) as caught:
            load(path)
        assert caught.value.code == code, str(caught.value)
        assert culprit in str(caught.value)
        assert len(str(caught.value)) < 1500
        assert "\n" not in str(caught.value)
        assert snapshot(tmp_path) == before

    return check
