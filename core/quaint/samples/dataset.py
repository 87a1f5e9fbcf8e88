"""Samples: a set that is streamed as often as one likes, checked on the way, and never held in memory as a whole."""

from __future__ import annotations

import hashlib
import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from quaint.errors import QuaintError, QuaintWarning
from quaint.samples.columns import FirstSamples, rebatch, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from quaint.samples.columns import Array, Batch, Source
    from quaint.samples.spec import TensorSpec

DIGEST_ROWS = 32
FEW_SAMPLES = 32


class Samples:
    """Samples for the inputs of one model, in the layout and dtype that the model takes.

    Args:
        source: where they come from.
        inputs: the model's inputs.
        random: True where the samples are made up, so that a report can say so.
        calibration: warn about what makes a bad calibration set: few samples (QC202), constant ones (QC206).
    """

    def __init__(
        self, source: Source, inputs: Sequence[TensorSpec], *, random: bool = False, calibration: bool = False
    ) -> None:
        self._source, self._inputs, self.random, self._calibration = source, inputs, random, calibration
        if calibration and len(self) < FEW_SAMPLES:
            text = f"QC202: {len(self)} samples are few: ranges chosen from less than {FEW_SAMPLES} are uncertain"
            warnings.warn(text, QuaintWarning, stacklevel=3)

    def __len__(self) -> int:
        return self._source.count

    def first(self, count: int, *, measuring: bool = False) -> Samples:
        """The first ``count`` samples, or all where there are fewer; few are no reason to warn where they only measure."""
        source = FirstSamples(self._source, min(count, len(self)))
        return Samples(source, self._inputs, random=self.random, calibration=self._calibration and not measuring)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """All samples in order as ``{input name: [batch, ...]}``, ``batch_size`` at a time; the last may be smaller.

        The arrays are C-contiguous, and may be read-only views of a file or of the user's array: they are not to be changed.

        Raises:
            QuaintError: QC203 NaN, QC204 infinity; and whatever a damaged file or a user's generator leads to.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, not {batch_size}")
        first = 0
        extremes: dict[str, tuple[float, float]] = {}
        for batch in rebatch(self._source.pieces(batch_size), batch_size):
            for name, values in batch.items():
                low, high = _finite_extremes(name, values, first)
                before = extremes.get(name, (low, high))
                extremes[name] = (min(low, before[0]), max(high, before[1]))
            yield batch
            first += rows_of(batch)
        if self._calibration:
            self._warn_if_constant(extremes)

    def digest(self) -> str:
        """SHA-256, in hex, of names, shapes, dtypes and values; the same for the same samples in any kind of file."""
        hashes = {spec.name: hashlib.sha256() for spec in self._inputs}
        for batch in self.batches(DIGEST_ROWS):
            for name, values in batch.items():
                hashes[name].update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
        total = hashlib.sha256()
        for spec in sorted(self._inputs, key=lambda spec: spec.name):
            total.update(repr((spec.name, len(self), spec.dtype.str, hashes[spec.name].hexdigest())).encode())
        return total.hexdigest()

    def _warn_if_constant(self, extremes: dict[str, tuple[float, float]]) -> None:
        for name, (low, high) in extremes.items():
            if low == high:
                text = f"QC206: every value of input '{name}' is {low:g} in all samples: no range can be learnt from it"
                warnings.warn(text, QuaintWarning, stacklevel=3)


def _finite_extremes(name: str, values: Array, first: int) -> tuple[float, float]:
    """Least and greatest value of a batch that starts at sample ``first``."""
    with np.errstate(invalid="ignore"):
        low, high = float(values.min()), float(values.max())
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    code, what, found = ("QC203", "NaN", np.isnan(values)) if np.isnan(values).any() else _infinite(values)
    sample, *index = (int(i) for i in np.argwhere(found)[0])
    where = f"sample {first + sample}, input '{name}', index {index}"
    raise QuaintError(code, what, where=where, hint="remove or mend that sample")


def _infinite(values: Array) -> tuple[str, str, Array]:
    return "QC204", f"infinite, or too large for {values.dtype}", np.isinf(values)
