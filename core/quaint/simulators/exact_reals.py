"""Operations on real numbers in NumPy: IEEE arithmetic, each operation rounded once, in the order that a kernel states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.numerics import Rounding

    Array = NDArray[Any]

#: ONNX operator -> what it is in NumPy; both are the IEEE operation, and ``fmod`` is exact.
OPERATORS: Mapping[str, np.ufunc] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Max": np.maximum,
    "Min": np.minimum,
    "Mod": np.fmod,
    "Sqrt": np.sqrt,
    "Abs": np.abs,
    "Neg": np.negative,
}


class ExactReals:
    """The part of ``Exact`` that works on arrays of float32 or float64."""

    def is_real(self, x: Array) -> bool:
        """Whether ``x`` holds reals."""
        return x.dtype.kind == "f"

    def to_real(self, x: Array | int, *, double: bool = False) -> Array:
        """``x`` in floating point."""
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(x).astype(np.float64 if double else np.float32)

    def real(self, operator: str, *xs: Array | np.floating[Any]) -> Array:
        """One operation."""
        with np.errstate(all="ignore"):
            return np.asarray(OPERATORS[operator](*xs))

    def accumulate(self, operator: str, x: Array, axes: Sequence[int]) -> Array:
        """Numbers combined one after another, as a loop in C does."""
        axes = sorted(axis % x.ndim for axis in axes)
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        rows = x.transpose(*kept, *axes).reshape(*(x.shape[axis] for axis in kept), -1)
        with np.errstate(all="ignore"):
            total = OPERATORS[operator].accumulate(rows, -1)[..., -1]
        return np.asarray(total.reshape([1 if axis in axes else size for axis, size in enumerate(x.shape)]))

    def to_integer(self, x: Array, low: int, high: int, rounding: Rounding) -> Array:
        """Reals to integers; NaN is 0."""
        bounded = np.clip(np.nan_to_num(x.astype(np.float64), nan=0.0), low - 1, high + 1)
        return np.clip(rounding.round(bounded).astype(np.int64), low, high)
