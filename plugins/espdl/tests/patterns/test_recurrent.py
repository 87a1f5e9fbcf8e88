"""GRU and LSTM from float models: into the file, out of it, against plain loops, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import pytest
from espdl_proof import Net, prove, quantized

from quaint.errors import QuaintError
from quaint.simulators.saved import to_bytes

if TYPE_CHECKING:
    from quaint.quantized import Quantized

GATES = {"GRU": 3, "LSTM": 4}
STEPS, FEATURES = 5, 16


def made(
    op: str, target: str, bits: int = 8, hidden: int = 6, *, both: bool = False, scale: float = 0.3, **wishes: Any
) -> Quantized:
    """A layer between transposes, as PyTorch exports it; its last states are outputs too."""
    random = np.random.default_rng(7)
    count, rows = 1 + both, GATES[op] * hidden
    net = Net(x=("N", STEPS, FEATURES))
    shapes = [(count, rows, FEATURES), (count, rows, hidden), (count, 2 * rows)]
    weights = [(random.normal(size=shape) * scale).astype(np.float32) for shape in shapes]
    given: dict[str, Any] = {"hidden_size": hidden, **({"linear_before_reset": 1} if op == "GRU" else {})}
    given |= {"direction": "bidirectional"} if both else {}
    y = net.add(op, net.add("Transpose", net["x"], perm=[1, 0, 2]), *weights, **given | wishes)
    model = net.model(net.add("Transpose", y, perm=[2, 0, 1, 3]))
    return quantized(model, target, activation_bits=bits, weight_bits=bits)


@pytest.mark.parametrize("target", ["esp32p4", "esp32s3", "esp32"])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("op", ["GRU", "LSTM"])
def test_files_compute_what_was_simulated(op: str, bits: int, target: str, *, both: bool) -> None:
    result = made(op, target, bits, both=both)
    model = prove(result)
    (node,) = [node for node in model.graph.nodes if node.op_type == op]
    assert len(node.outputs) == GATES[op] - 1
    assert node.attributes["gate_exponent"] == -9
    assert node.attributes["direction"] == ("bidirectional" if both else "forward")


@pytest.mark.parametrize("hidden", [8, 16])
@pytest.mark.parametrize("op", ["GRU", "LSTM"])
def test_vectors_and_saturated_gates(op: str, hidden: int) -> None:
    result = made(op, "esp32s3", hidden=hidden, scale=12.0)
    prove(result)
    (layer,) = [layer for layer in result.integer.layers if layer.op == op]
    assert layer.attributes["vectors"] == [True, hidden == 16]
    assert layer.attributes["gate_exponent"] > -9
    assert any("overflow silently" in warning for warning in result.warnings)


@pytest.mark.parametrize("op", ["GRU", "LSTM"])
def test_close_to_float_and_the_same_everywhere(op: str) -> None:
    result = made(op, "esp32p4", both=True)
    x = {"x": np.random.default_rng(3).normal(size=(3, STEPS, FEATURES)).astype(np.float32)}
    truth = result.run(x, simulator="reference")
    session = ort.InferenceSession(to_bytes(result.integer, result.target.all_kernels(), {}))
    in_file = dict(zip([value.name for value in session.get_outputs()], session.run(None, x), strict=True))
    for name, value in truth.items():
        np.testing.assert_array_equal(result.run(x, simulator="onnxruntime")[name], value)
        np.testing.assert_array_equal(in_file[name], value)
    (y,) = truth.values()
    expected = np.concatenate([result.run({"x": row[None]}, simulator="reference")["t2"] for row in x["x"]])
    np.testing.assert_array_equal(y, expected)
    assert np.abs(y).max() > 0.1


REFUSED = [
    ("GRU", {"linear_before_reset": 0}, "resets after the product"),
    ("GRU", {"direction": "reverse"}, "not backwards only"),
    ("GRU", {"clip": 3.0}, "does not clip"),
    ("GRU", {"activations": ["Sigmoid", "Relu"]}, "activations are Sigmoid, Tanh"),
    ("LSTM", {"input_forget": 1}, "does not tie"),
]


@pytest.mark.parametrize(("op", "wishes", "reason"), REFUSED)
def test_what_the_runtime_lacks(op: str, wishes: dict[str, Any], reason: str) -> None:
    with pytest.raises(QuaintError) as caught:
        made(op, "esp32p4", **wishes)
    assert caught.value.code == "QT310"
    assert reason in " ".join(caught.value.details)
