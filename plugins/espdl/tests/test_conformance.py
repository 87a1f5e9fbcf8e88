"""Both chips pass core's conformance suite, found through the entry point like anybody's."""

from __future__ import annotations

from quaint.testing import TargetConformance


class TestEsp32P4(TargetConformance):
    target = "esp32p4"


class TestEsp32S3(TargetConformance):
    target = "esp32s3"
