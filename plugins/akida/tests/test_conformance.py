"""Both generations pass core's conformance suite, found through the entry point like anybody's."""

from __future__ import annotations

from quaint.testing import TargetConformance


class TestAkida1(TargetConformance):
    target = "akida1"
    max_noise = 0.5  # 4 bits, and the zoo's weights are random


class TestAkida2(TargetConformance):
    target = "akida2"
