"""The file that ``quantize`` saves runs in plain onnxruntime, where Quaint is not installed, and gives the same integers."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import quaint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Runs MODEL on SAMPLES and writes OUT: outputs by name and integers behind them. It knows NumPy, onnxruntime and onnx only.
ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].startswith("quaint"):
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
try:
    import quaint
except ImportError:
    pass
else:
    sys.exit("quaint can be imported")

import numpy as np, onnx, onnxruntime

model, samples, out = sys.argv[1:]
proto = onnx.load(model)
onnx.checker.check_model(proto)
integers = [node.input[0] for node in proto.graph.node if node.op_type == "dequantizer"]
known = {value.name for value in proto.graph.output}
for name in integers:
    if name not in known:
        proto.graph.output.append(onnx.ValueInfoProto(name=name))
given = dict(np.load(samples))
plain = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
deeper = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
names = [value.name for value in plain.get_outputs()]
results = dict(zip(names, plain.run(names, given)))
results |= dict(zip(integers, deeper.run(integers, given)))
assert not any(name.startswith("quaint") for name in sys.modules)
np.savez(out, **{name: value for name, value in results.items()})
"""


@pytest.fixture
def run_alone(tmp_path: Path) -> Callable[[Path, dict[str, Any]], dict[str, Any]]:
    """Run a saved model in a process of its own, without Quaint; outputs, and the integers behind them."""

    def call(model: Path, feeds: dict[str, Any]) -> dict[str, Any]:
        samples, out = tmp_path / "alone_in.npz", tmp_path / "alone_out.npz"
        np.savez(samples, **feeds)
        command = [sys.executable, "-I", "-c", ALONE, str(model), str(samples), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return dict(np.load(out))

    return call


def test_the_same_without_quaint(
    target: str,
    run_alone: Callable[[Path, dict[str, Any]], dict[str, Any]],
    run_cli: Callable[..., Any],
    digits: Path,
    digits_arrays: dict[str, Any],
    tmp_path: Path,
) -> None:
    samples = ("--samples", digits / "calibration.npz", "--num-samples", 64)
    run_cli("quantize", digits / "digits.onnx", "--target", target, *samples, "--output", tmp_path / "out")
    file = tmp_path / "out" / f"digits.{target}.onnx"
    test = digits_arrays["test"][:100]
    alone = run_alone(file, {"input": test})

    loaded = quaint.load(file)
    entering, leaving = loaded.integer.integer_inputs, loaded.integer.integer_outputs
    assert leaving == ("logits_int",)
    integers = loaded.run(test, outputs=[*entering, *leaving])
    np.testing.assert_array_equal(alone["logits_int"], integers["logits_int"])
    np.testing.assert_array_equal(alone["logits"], loaded.run(test)["logits"])

    np.savez(tmp_path / "real.npz", input=test)
    run_cli("run", file, "--samples", tmp_path / "real.npz", "--output", tmp_path / "real_out.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "real_out.npz")["logits"], alone["logits"])

    np.savez(tmp_path / "whole.npz", input=integers[entering[0]])
    for simulator in ("onnxruntime", "reference"):
        out = tmp_path / f"{simulator}.npz"
        run_cli(
            "run", file, "--samples", tmp_path / "whole.npz", "--integers", "--simulator", simulator, "--output", out
        )
        np.testing.assert_array_equal(np.load(out)["logits"], alone["logits_int"])
    whole = loaded.run(integers[entering[0]], integers=True)
    np.testing.assert_array_equal(whole["logits"], alone["logits_int"])
    agreed = run_cli("run", file, "--samples", tmp_path / "real.npz", "--against", "reference", "--json").json
    assert agreed["equal"]
    assert agreed["values"] > 100_000


def test_a_head_and_a_tail_on_the_host(
    run_alone: Callable[[Path, dict[str, Any]], dict[str, Any]],
    digits: Path,
    digits_arrays: dict[str, Any],
    tmp_path: Path,
) -> None:
    """The saved file holds the float layers before and after the chip, too."""
    config = quaint.Config(from_node="conv2", until="pointwise3")
    quantized = quaint.quantize(digits / "digits.onnx", "akida2", digits_arrays["calibration"], config)
    quantized.save(str(tmp_path / "digits.onnx"))
    test = digits_arrays["test"][:20]
    alone = run_alone(tmp_path / "digits.onnx", {"input": test})
    np.testing.assert_allclose(alone["logits"], quantized.run(test)["logits"], rtol=1e-5, atol=1e-5)
