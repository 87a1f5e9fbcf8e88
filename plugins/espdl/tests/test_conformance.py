"""Every chip passes core's conformance suite, found through the entry point like anybody's."""

from __future__ import annotations

import pytest

from quaint.testing import TargetConformance
from quaint_espdl.names import SUMMARIES


class TestEsp32P4(TargetConformance):
    target = "esp32p4"


class TestEsp32S3(TargetConformance):
    target = "esp32s3"


class TestEsp32(TargetConformance):
    target = "esp32"


@pytest.mark.parametrize("name", sorted(set(SUMMARIES) - {"esp32p4", "esp32s3", "esp32"}))
def test_a_chip_that_computes_as_another(name: str) -> None:
    """One model is enough: what differs is the name."""

    class Smoke(TargetConformance):
        target = name

    smoke = Smoke()
    smoke.test_offered_by_name()
    smoke.test_export_is_deterministic("conv")
