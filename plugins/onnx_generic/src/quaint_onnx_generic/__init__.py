"""ONNX models in QDQ form as a target of Quaint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaint.component import Lazy
from quaint.hookspecs import impl

if TYPE_CHECKING:
    from collections.abc import Iterable


@impl
def quaint_targets() -> Iterable[Lazy]:
    """What onnxruntime runs."""
    yield Lazy(
        "onnx-qdq", "quaint_onnx_generic.targets:QDQ", "ONNX with QuantizeLinear and DequantizeLinear, for onnxruntime"
    )


@impl
def quaint_exporters() -> Iterable[Lazy]:
    """The file that onnxruntime loads."""
    yield Lazy("onnx-qdq", "quaint_onnx_generic.exporter:export", "one .onnx file in QDQ form")
