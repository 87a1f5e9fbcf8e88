"""Large batches in slices give what they give at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from layer_models import INT8, layer_model
from quaint.layers.kernels import KERNELS
from quaint.simulators import sessions
from quaint.simulators.onnxruntime import OnnxRuntime, Segment, divide
from quaint.simulators.reference import Reference
from quaint.simulators.sessions import Session

if TYPE_CHECKING:
    from quaint.integer import IntegerModel

Array = np.ndarray[Any, np.dtype[Any]]

#: Two outputs, one of them of another shape.
MODEL = onnx.parser.parse_model(
    '<ir_version: 8, opset_import: ["": 17]> g (float[N,4] a, float[N,4] b) => (float[N,4] c, float[N,1] d) '
    "{ c = Add(a, b) d = ReduceSum <keepdims = 1> (c, axes) }"
)
MODEL.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "axes"))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Threads and samples of every run of onnxruntime; slices have three samples of four numbers at most."""
    made: list[tuple[int, int]] = []

    class Watched(ort.InferenceSession):  # type: ignore[misc]
        def __init__(self, model: bytes, options: ort.SessionOptions, **rest: Any) -> None:
            super().__init__(model, options, **rest)
            self.threads = options.intra_op_num_threads

        def run(self, outputs: None, feeds: dict[str, Array]) -> Any:
            made.append((self.threads, len(next(iter(feeds.values())))))
            return super().run(outputs, feeds)

    monkeypatch.setattr(sessions, "_MOST_ELEMENTS", 12)
    monkeypatch.setattr(ort, "InferenceSession", Watched)
    return made


@pytest.mark.parametrize(
    ("count", "expected"),
    [(3, [(2, 3)]), (4, [(1, 2)] * 2), (7, [(1, 1)] + [(1, 3)] * 2), (0, [(2, 0)])],
)
def test_slices(runs: list[tuple[int, int]], count: int, expected: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-99, 99, (count, 4)).astype(np.float32) for _ in range(2))
    c, d = Session(MODEL.SerializeToString(), 2, 4, inside=True).run({"a": a, "b": b})
    np.testing.assert_array_equal(c, a + b)
    np.testing.assert_array_equal(d, (a + b).sum(1, keepdims=True))
    assert sorted(runs) == expected


def test_what_has_no_batch_in_front_or_two_batches_runs_at_once(runs: list[tuple[int, int]]) -> None:
    a, one = np.ones((9, 4), np.float32), np.ones((1, 4), np.float32)
    Session(MODEL.SerializeToString(), 1, None, inside=True).run({"a": a, "b": a})
    Session(MODEL.SerializeToString(), 1, 4, inside=True).run({"a": a, "b": one})
    assert runs == [(1, 9), (1, 9)]


def clipped() -> IntegerModel:
    return layer_model("clip", [(INT8, (None, 4, 3, 3))], INT8, (None, 4, 3, 3), attributes={"low": 0, "high": 9})


def test_the_simulator_slices(runs: list[tuple[int, int]]) -> None:
    x = np.random.default_rng(0).integers(-128, 128, (7, 4, 3, 3)).astype(np.int8)
    made = OnnxRuntime(clipped(), KERNELS, threads=2).run({"x0": x})
    np.testing.assert_array_equal(made["y"], Reference(clipped(), KERNELS).run({"x0": x})["y"])
    assert sorted(runs) == [(1, 1)] * 7


def test_the_largest_tensor_of_a_sample() -> None:
    (segment,) = divide(clipped(), KERNELS)
    assert isinstance(segment, Segment)
    assert segment.largest == 36
    turned = layer_model("transpose", [(INT8, (None, 4, 3))], INT8, (4, None, 3), attributes={"perm": [1, 0, 2]})
    (other,) = divide(turned, KERNELS)
    assert isinstance(other, Segment)
    assert other.largest is None
