"""Numbers of a chip: integer types, roundings, and how integers stand for real values."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]


class Rounding(enum.StrEnum):
    """What becomes of the fraction: the chips differ here by one bit."""

    HALF_EVEN = "half_even"
    HALF_UP = "half_up"
    HALF_AWAY = "half_away"
    FLOOR = "floor"
    CEIL = "ceil"

    def round(self, x: ArrayLike) -> Floats:
        """``x`` rounded to whole numbers; float64 in and out, exact below 2**52."""
        x = np.asarray(x, np.float64)
        whole: Floats
        match self:
            case Rounding.HALF_EVEN:
                whole = np.rint(x)
            case Rounding.FLOOR:
                whole = np.floor(x)
            case Rounding.CEIL:
                whole = np.ceil(x)
            case Rounding.HALF_UP:  # not floor(x + 0.5): that sum itself rounds
                whole = np.floor(x)
                whole = whole + (x - whole >= 0.5)
            case Rounding.HALF_AWAY:
                whole = np.trunc(x)
                whole = whole + np.copysign(np.abs(x - whole) >= 0.5, x)
        return whole


@dataclass(frozen=True)
class IntType:
    """The integers of ``bits`` bits, two's complement where signed."""

    bits: int
    signed: bool

    @classmethod
    def parse(cls, name: str) -> IntType:
        """``int8``, ``uint4``, ``int20`` as a type.

        Raises:
            ValueError: for any other text, or more than 64 bits.
        """
        match = re.fullmatch(r"(u?)int([1-9]\d?)", name)
        if not match or int(match[2]) > 64:
            raise ValueError(f"not an integer type: {name!r}")
        return cls(int(match[2]), not match[1])

    @property
    def low(self) -> int:
        """The smallest of them."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """The largest of them."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def storage(self) -> np.dtype[Any]:
        """The narrowest NumPy type that holds them."""
        size = next(width for width in (8, 16, 32, 64) if self.bits <= width)
        return np.dtype(f"{'int' if self.signed else 'uint'}{size}")

    def saturate(self, x: ArrayLike) -> Ints:
        """Integers ``x`` clipped to the range."""
        return np.clip(np.asarray(x, np.int64), self.low, self.high)

    def __str__(self) -> str:
        return f"{'int' if self.signed else 'uint'}{self.bits}"


class ScaleKind(enum.StrEnum):
    """Which scales a chip can apply."""

    FLOAT = "float"
    POWER_OF_TWO = "power_of_two"
    FIXED_POINT = "fixed_point"


@dataclass(frozen=True)
class QuantSpec:
    """How a tensor shall be quantized.

    Args:
        dtype: the integers.
        scale: which scales are allowed.
        axis: one scale for each index of this axis; None for one scale in all.
        symmetric: zero point 0; otherwise an integer stands for real zero.
        observer: name of the observer that measures its range.
        narrow: leave out the lowest integer, so that the range is symmetric about zero (-127 ... 127).
        round_exponent: for power-of-two scales, round the exponent up (nothing saturates) or to the nearest.
    """

    dtype: IntType
    scale: ScaleKind = ScaleKind.FLOAT
    axis: int | None = None
    symmetric: bool = True
    observer: str = "minmax"
    narrow: bool = False
    round_exponent: Literal["up", "nearest"] = "up"


def _frozen(x: ArrayLike, dtype: type) -> NDArray[Any]:
    array: NDArray[Any] = np.array(x, dtype)
    array.setflags(write=False)
    return array


@dataclass(frozen=True, eq=False)
class QuantParams:
    """How a tensor is quantized: ``real = scale * (integer - zero_point)``.

    Args:
        scale: float64, positive and finite; a scalar, or a vector along ``axis``.
        dtype: the integers.
        zero_point: the integer of real zero, shaped like ``scale`` or a scalar.
        axis: where the vector lies.

    Raises:
        ValueError: if a scale is not positive and finite. Nothing past this point meets such a scale.
    """

    scale: NDArray[np.float64]
    dtype: IntType
    zero_point: NDArray[np.int64] = field(default_factory=lambda: np.zeros((), np.int64))
    axis: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", _frozen(self.scale, np.float64))
        object.__setattr__(self, "zero_point", _frozen(self.zero_point, np.int64))
        if not (np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise ValueError(f"scales must be positive and finite, not {self.scale}")
        if (self.axis is None) != (self.scale.ndim == 0):
            raise ValueError("a vector of scales needs an axis, a scalar has none")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QuantParams) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.dtype, self.axis, self.scale.tobytes(), self.zero_point.tobytes()))

    @property
    def exponents(self) -> Ints:
        """log2 of the scale, int64, for power-of-two scales.

        Raises:
            ValueError: if a scale is not a power of two.
        """
        mantissa, exponent = np.frexp(self.scale)
        if (mantissa != 0.5).any():
            raise ValueError(f"not powers of two: {self.scale}")
        return np.asarray(exponent, np.int64) - 1

    def broadcast(self, vector: NDArray[Any], rank: int) -> NDArray[Any]:
        """``vector`` (scales or zero points) shaped to broadcast against a tensor of ``rank`` axes."""
        if vector.ndim == 0 or self.axis is None:
            return vector
        shape = [1] * rank
        shape[self.axis] = -1
        return vector.reshape(shape)

    def quantize(self, x: ArrayLike, rounding: Rounding = Rounding.HALF_EVEN) -> Ints:
        """Real values to the nearest integers, saturated; int64."""
        x = np.asarray(x, np.float64)
        scaled = np.clip(x / self.broadcast(self.scale, x.ndim), -(2.0**62), 2.0**62)
        whole = rounding.round(scaled).astype(np.int64)
        return self.dtype.saturate(whole + self.broadcast(self.zero_point, x.ndim))

    def dequantize(self, q: ArrayLike) -> Floats:
        """Integers to real values; float64."""
        q = np.asarray(q, np.int64)
        real: Floats = (q - self.broadcast(self.zero_point, q.ndim)) * self.broadcast(self.scale, q.ndim)
        return real

    def to_dict(self) -> dict[str, Any]:
        """As plain data: what manifests and configuration dumps show."""
        return {
            "dtype": str(self.dtype),
            "scale": self.scale.tolist(),
            "zero_point": self.zero_point.tolist(),
            "axis": self.axis,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> QuantParams:
        """The inverse of ``to_dict``."""
        dtype = IntType.parse(data["dtype"])
        return cls(np.asarray(data["scale"]), dtype, np.asarray(data["zero_point"]), data["axis"])


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """Integers with a static number of fractional bits: ``x = values * 2**-frac_bits``."""

    values: Ints
    frac_bits: int | Ints

    @classmethod
    def quantize(
        cls, x: ArrayLike, frac_bits: int | Ints, dtype: IntType, rounding: Rounding = Rounding.HALF_EVEN
    ) -> FixedPoint:
        """The nearest integers to ``x * 2**frac_bits`` in ``dtype``, saturated."""
        scaled = np.clip(np.ldexp(np.asarray(x, np.float64), frac_bits), -(2.0**62), 2.0**62)
        return cls(dtype.saturate(rounding.round(scaled)), frac_bits)

    @staticmethod
    def bits_for(limit: ArrayLike, dtype: IntType) -> Ints:
        """Fractional bits at which ``limit`` (the largest magnitude) still fits: value bits less ``ceil(log2(limit))``."""
        mantissa, exponent = np.frexp(np.maximum(np.asarray(limit, np.float64), 2.0**-62))
        ceil_log2 = np.asarray(exponent, np.int64) - (mantissa == 0.5)
        return np.asarray(dtype.bits - dtype.signed - ceil_log2, np.int64)

    def to_float(self) -> Floats:
        """The real values, float64."""
        real: Floats = np.ldexp(np.asarray(self.values, np.float64), -np.asarray(self.frac_bits))
        return real
