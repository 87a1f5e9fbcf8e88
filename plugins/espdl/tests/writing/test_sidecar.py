from __future__ import annotations

import json

import numpy as np
import onnx_ir as ir
from espdl_proof import DIGITS, quantized

from quaint_espdl.writing.exporter import to_espdl
from quaint_espdl.writing.sidecar import summary


def test_summary_says_what_the_file_holds() -> None:
    samples = {"input": np.load(DIGITS / "calibration.npz")["input"][:8]}
    result = quantized(ir.load(DIGITS / "digits.onnx"), "esp32p4", samples, layers={"conv2": {"bits": 16}})
    model = to_espdl(result)
    data = json.loads(json.dumps(summary(result, model)))
    assert data["target"] == "esp32p4"
    assert {name: layer["op"] for name, layer in data["layers"].items()} == {
        n.name: n.op_type for n in model.graph.nodes
    }
    assert data["layers"]["conv2"]["bits"] == 16
    assert data["dispatch"]["conv2"] == "int16"
    assert data["dispatch"]["conv1"] == "int8"
    assert data["tensors"]["input"] == {"shape": [1, 8, 8, 1], "dtype": "int8", "exponents": [-7]}
    weights = data["tensors"]["conv2.weight"]
    assert weights["layout"].startswith("(N/8)HWC8")
    assert len(weights["exponents"]) == weights["shape"][-1]
