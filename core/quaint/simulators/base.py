"""What every simulator offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.integer import IntegerModel


class Simulator(Protocol):
    """Runs an integer model; every simulator gives the same integers, bit for bit."""

    @property
    def model(self) -> IntegerModel:
        """The model that it runs."""

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """The tensors ``outputs`` (default: the model's outputs) for ``feeds``.

        Args:
            feeds: float32 for real tensors, integers for quantized ones; any tensors that cut the model off from its
                inputs, with the batch as the first axis.
            outputs: names of any tensors.

        Returns:
            Integers in the storage type of their ``QuantParams``, reals as float32, by name in the order asked for.

        Raises:
            QuaintError: QC212 if a tensor is unknown, or one that is needed is not fed.
        """
