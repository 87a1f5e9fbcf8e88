"""Measures of the distance between a quantized model and its float source, summed up batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quaint.numerics import QuantParams


@dataclass
class Noise:
    """Noise-to-signal power, ``sum((q - f)**2) / sum(f**2)``: 0.01 is a signal-to-noise ratio of 20 dB."""

    noise: float = 0.0
    signal: float = 0.0

    def add(self, quantized: NDArray[Any], real: NDArray[Any]) -> None:
        """Count a batch of both, float32."""
        squares = np.subtract(quantized, real, dtype=np.float32)
        self.noise += float(np.square(squares, out=squares).sum())
        self.signal += float(np.square(real, out=squares, dtype=np.float32, casting="same_kind").sum())

    @property
    def ratio(self) -> float | None:
        """The ratio; None where it is infinite: the float tensor is zero everywhere and the quantized one is not."""
        if self.signal:
            return self.noise / self.signal
        return None if self.noise else 0.0


@dataclass
class Smape:
    """Symmetric mean absolute error as a share, ``mean(|q - f| / (|q| + |f|))``: 0 where both are zero, 1 at the most."""

    error: float = 0.0
    count: int = 0

    def add(self, quantized: NDArray[Any], real: NDArray[Any]) -> None:
        """Count a batch of both, float32."""
        both = np.abs(quantized) + np.abs(real)
        error = np.divide(np.abs(quantized - real), both, out=np.zeros_like(both), where=both > 0)
        self.error += float(error.sum(dtype=np.float64))
        self.count += both.size

    @property
    def ratio(self) -> float | None:
        """The share; None of nothing."""
        return self.error / self.count if self.count else None


@dataclass
class Share:
    """How many of all."""

    hits: int = 0
    total: int = 0

    def add(self, found: NDArray[np.bool_]) -> None:
        """Count a batch."""
        self.hits += int(found.sum())
        self.total += found.size

    @property
    def ratio(self) -> float | None:
        """The share; None of nothing."""
        return self.hits / self.total if self.total else None


def dequantized(integers: NDArray[Any], params: QuantParams) -> NDArray[np.float32]:
    """The real values in float32: precise enough to measure, and several times faster than ``QuantParams.dequantize``."""
    real = integers.astype(np.float32)
    if params.zero_point.any():
        real -= params.broadcast(params.zero_point, real.ndim).astype(np.float32)
    real *= params.broadcast(params.scale, real.ndim).astype(np.float32)
    return real


def rounded(real: NDArray[Any], params: QuantParams) -> NDArray[Any]:
    """The integers in float32 arithmetic, in their storage type: the counterpart of ``dequantized``."""
    scale, zero_point = (params.broadcast(v, real.ndim).astype(np.float32) for v in (params.scale, params.zero_point))
    integers = real / scale
    np.rint(integers, out=integers)
    integers += zero_point
    return np.clip(integers, params.dtype.low, params.dtype.high, out=integers).astype(params.dtype.storage)


def saturated(integers: NDArray[Any], params: QuantParams) -> NDArray[np.bool_]:
    """Which integers stand at an end of their type and so may have been clipped.

    The lowest integer counts only where it stands for a negative number: a ReLU's zeros are not clipped by the type. A truth
    value never counts.
    """
    if params.dtype.bits == 1:
        return np.zeros(integers.shape, np.bool_)
    zero_point = params.broadcast(params.zero_point, integers.ndim)
    found: NDArray[np.bool_] = integers == params.dtype.high
    may_be = zero_point > params.dtype.low
    if may_be.any():
        found |= (integers == params.dtype.low) & may_be
    return found


def top1(scores: NDArray[Any]) -> NDArray[np.int64] | None:
    """Index of the greatest score, along axis 1 of [samples, classes, ...]; None where there are no classes."""
    if scores.ndim < 2 or scores.shape[1] < 2:
        return None
    return np.asarray(scores.argmax(axis=1), np.int64)
