"""What observers need of a tensor: the agreement between them and calibration."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Values of all samples together: more of them say nothing new about how they are distributed. Of one sample, the least and most.
ENOUGH, LEAST, MOST = 1 << 19, 1 << 11, 1 << 13
#: The same for each channel, where channels count on their own.
CHANNEL_ENOUGH, CHANNEL_LEAST, CHANNEL_MOST = 1 << 13, 1 << 5, 1 << 13
#: Samples where nobody says how many there are.
SAMPLES = 64
#: Rows and columns of an image that are met at the least.
ROWS = 8


class Needs(Enum):
    """What of a tensor an observer needs; calibration then shows it no more than that."""

    #: All values.
    VALUES = "values"
    #: The extremes of each sample: an array [samples, 2] stands for it.
    EXTREMES = "extremes"
    #: The extremes of each channel (axis 1) of each sample: an array [samples, channels, 2] stands for it.
    CHANNEL_EXTREMES = "channel-extremes"
    #: The extremes and, as second argument of ``observe``, [samples, n]: some of the values, see ``Thinning``.
    PART = "part"
    #: The extremes of each channel and, as second argument of ``observe``, [samples, channels, n]: some of its values.
    CHANNEL_PART = "channel-part"

    @property
    def by_channel(self) -> bool:
        """Whether channels count on their own."""
        return self in (Needs.CHANNEL_EXTREMES, Needs.CHANNEL_PART)

    @property
    def has_part(self) -> bool:
        """Whether some of the values are needed besides their extremes."""
        return self in (Needs.PART, Needs.CHANNEL_PART)


@dataclass(frozen=True)
class Thinning:
    """Which values of a sample are counted, the same whatever the batch.

    Of an image, if there are many, every k-th row and column, since whoever computes it can leave out the others cheaply; of
    what is then left, channel after channel, every n-th value.

    Args:
        image: k.
        stride: n; it has no divisor in common with the number of values, so no row or column is met more than others.
    """

    image: int
    stride: int

    @classmethod
    def of(cls, sizes: Sequence[int], *, by_channel: bool, samples: int = SAMPLES) -> Self:
        """For so many samples of these sizes: about as many values as are enough.

        Args:
            sizes: of a sample's axes, channels first.
            by_channel: enough of each channel, not of all together.
            samples: how many there are.
        """
        rest = sizes[1:] if by_channel else sizes
        limits = (CHANNEL_ENOUGH, CHANNEL_LEAST, CHANNEL_MOST) if by_channel else (ENOUGH, LEAST, MOST)
        total, least, most = limits
        enough = min(max(total // max(samples, 1), least), most)
        size, image = math.prod(rest), 1
        if len(sizes) == 3 and samples > SAMPLES:  # of few samples every row and column tells
            image = max(min(*(n // ROWS for n in sizes[1:]), math.isqrt(size // enough)), 1)
        left = size if image == 1 else math.prod(rest[:-2]) * math.prod(-(-n // image) for n in rest[-2:])
        return cls(image, _coprime(left // enough, left))

    def apply(self, values: NDArray[Any], *, by_channel: bool) -> NDArray[Any]:
        """The counted ones of ``values`` [samples, channels, ...], as [samples, n] or [samples, channels, n]."""
        if self.image > 1:
            values = values[..., :: self.image, :: self.image]
        kept = values.shape[: 1 + by_channel]
        return values.reshape(*kept, math.prod(values.shape[len(kept) :]))[..., :: self.stride]


def _coprime(near: int, size: int) -> int:
    """A number like ``near``, or a few times as large or small, that has no divisor in common with ``size``."""
    near = max(near, 1)
    above = next(n for n in itertools.count(near) if math.gcd(n, size) == 1)
    below = next(n for n in range(near, 0, -1) if math.gcd(n, size) == 1)
    return above if above * below <= near * near else below
