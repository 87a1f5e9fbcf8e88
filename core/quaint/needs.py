"""What observers need of a tensor: the agreement between them and calibration."""

from __future__ import annotations

import math
from enum import Enum

ENOUGH = 1 << 13  # values of one sample: more of them say nothing new about how they are distributed


class Needs(Enum):
    """What of a tensor an observer needs; calibration then shows it no more than that."""

    #: All values.
    VALUES = "values"
    #: The extremes of each sample: an array [samples, 2] stands for it.
    EXTREMES = "extremes"
    #: The extremes of each channel (axis 1) of each sample: an array [samples, channels, 2] stands for it.
    CHANNEL_EXTREMES = "channel-extremes"
    #: The extremes and, as second argument of ``observe``, [samples, n]: values at regular distances, see ``stride``.
    PART = "part"


def stride(size: int) -> int:
    """Every how-manieth value of a sample is counted; it has no divisor in common with the axes, so all channels are met."""
    step = max(size // ENOUGH, 1)
    while math.gcd(step, size) != 1:
        step += 1
    return step
