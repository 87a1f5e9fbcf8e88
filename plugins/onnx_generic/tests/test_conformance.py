"""The target passes core's conformance suite, found through the entry point like anybody's."""

from __future__ import annotations

from quaint.testing import TargetConformance


class TestOnnxQdq(TargetConformance):
    target = "onnx-qdq"
