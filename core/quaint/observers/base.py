"""What every observer offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from quaint.needs import Needs
from quaint.numerics import IntType

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Floats = NDArray[np.float64]

INT8 = IntType(8, signed=True)


class Observer(ABC):
    """Measures the range of one tensor over batches of samples.

    Args:
        axis: measure each index of this axis on its own; None for the tensor as a whole.
        dtype: the integers that the tensor will be quantized to, for observers that search the best threshold for them.
        power_of_two: scales will be powers of two, for the same observers.
    """

    needs: ClassVar[Needs] = Needs.VALUES
    #: Whether it tells batches apart: then it is shown the extremes of each batch, else any parts of it in order.
    by_batch: ClassVar[bool] = False

    def __init__(self, axis: int | None = None, *, dtype: IntType = INT8, power_of_two: bool = False) -> None:
        self.axis, self.dtype, self.power_of_two = axis, dtype, power_of_two

    @abstractmethod
    def observe(self, batch: Array) -> None:
        """Take in the tensor's values for a batch of samples.

        Raises:
            QuaintError: QC205 if a value is infinite or not a number.
        """

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Take in what ``other``, an observer of the same tensor with the same options, has observed."""

    @abstractmethod
    def range(self) -> tuple[Floats, Floats]:
        """The lowest and the highest real value to represent, float64: scalars, or vectors along ``axis``.

        Real zero need not lie between them. What to do about that is up to whoever chooses parameters.

        Raises:
            QuaintError: QC201 if nothing was observed.
        """

    def rows(self, batch: Array) -> Array:
        """``batch`` as [channels, values]: one row for each index of ``axis``, or one in all."""
        if self.axis is None:
            return batch.reshape(1, batch.size)
        channels = batch.shape[self.axis]
        return np.moveaxis(batch, self.axis, 0).reshape(channels, batch.size // max(channels, 1))

    def shaped(self, vector: Floats) -> Floats:
        """A value for each row, as ``range`` gives it."""
        return vector if self.axis is not None else vector.reshape(())
