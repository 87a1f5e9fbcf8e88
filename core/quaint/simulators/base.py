"""What every simulator offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from quaint.errors import QuaintError
from quaint.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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


def part(model: IntegerModel, feeds: Iterable[str], wanted: Sequence[str]) -> IntegerModel:
    """The layers of ``model`` between the tensors ``feeds`` and ``wanted``.

    Raises:
        QuaintError: QC212 if a tensor is unknown, or one that is needed is not fed.
    """
    feeds = tuple(feeds)
    known = {name for layer in model.layers for name in layer.outputs}.union(model.inputs)
    for name in (*feeds, *wanted):
        if name not in known:
            raise QuaintError("QC212", f"no tensor '{name}'", where=model.name, hint=did_you_mean(name, known))
    try:
        return model.cut(feeds, wanted)
    except KeyError as error:
        hint = f"feed all of: {', '.join(model.inputs)}"
        raise QuaintError("QC212", f"tensor '{error.args[0]}' is missing", where=model.name, hint=hint) from None


def accepted(model: IntegerModel, name: str, value: NDArray[Any]) -> NDArray[Any]:
    """A user's array in the type that tensor ``name`` is stored in: float32 for reals.

    Raises:
        QuaintError: QC213 if it holds anything but integers of the tensor's type.
    """
    params = model.tensors.get(name)
    if params is None:
        return np.asarray(value, np.float32)
    whole = np.issubdtype(value.dtype, np.integer)
    if not whole or (value.size and (int(value.min()) < params.dtype.low or int(value.max()) > params.dtype.high)):
        raise QuaintError("QC213", f"values that are not {params.dtype}", where=name, hint="quantize them first")
    return value.astype(params.dtype.storage)
