"""QDQ as data: uint8 activations with a zero point, int8 weights with a scale for each channel (ONNX opset 21)."""

from __future__ import annotations

from quaint.numerics import IntType, QuantSpec
from quaint.target import ANY, Target
from quaint_onnx_generic.patterns import KERNELS, PATTERNS

QDQ = Target(
    name="onnx-qdq",
    summary="ONNX with QuantizeLinear and DequantizeLinear, for onnxruntime",
    domain="quaint.onnx_generic",
    patterns=PATTERNS,
    activation=QuantSpec(IntType(8, signed=False), symmetric=False, observer="percentile"),
    weight=QuantSpec(IntType(8, signed=True), axis=0, narrow=True),
    input=QuantSpec(IntType(8, signed=False), symmetric=False),
    input_divides=True,
    input_dtypes=("uint8",),
    kernels=KERNELS,
    host=frozenset({"Softmax", "LogSoftmax", ANY}),
    exporter="onnx-qdq",
)
