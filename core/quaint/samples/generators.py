"""Samples that the user's own code makes: any iterable of batches that can be gone through again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from quaint.errors import QuaintError
from quaint.samples.columns import ArrayColumn, fitted, rows_of
from quaint.samples.naming import match_names
from quaint.samples.spec import to_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from quaint.samples.columns import Array, Batch
    from quaint.samples.spec import TensorSpec

Batches: TypeAlias = Iterable[Any] | Callable[[], Iterable[Any]]


class BatchSource:
    """Batches of any size: arrays for a model of one input, or dictionaries by input name.

    All of them are gone through once at the start: that counts them, and finds what is wrong before long work begins.

    Raises:
        QuaintError: QC201 nothing there, or gone after one pass; QC240 the user's code raised, or a batch of a wrong
            type; or what is wrong with an array.
    """

    def __init__(self, batches: Batches, inputs: Sequence[TensorSpec], layout: str | None) -> None:
        self._batches, self._inputs, self._layout = batches, inputs, layout
        if not callable(batches) and iter(batches) is batches:
            hint = "give the function that makes the generator, or a list"
            raise QuaintError("QC201", "a generator can be read only once, and samples are read again", hint=hint)
        self.count = sum(rows_of(batch) for batch in self._fitted_batches())
        if not self.count:
            raise QuaintError("QC201", "no samples: the first pass over the batches yielded nothing")

    def pieces(self, rows: int) -> Iterator[Batch]:  # noqa: ARG002 - the batches are as large as the user makes them
        """The user's batches."""
        count = 0
        for batch in self._fitted_batches():
            yield batch
            count += rows_of(batch)
        if count != self.count:
            what = f"{self.count} samples in the first pass, {count} in a later one"
            hint = "the function must make a new generator at each call"
            raise QuaintError("QC201", what, hint=hint)

    def _fitted_batches(self) -> Iterator[Batch]:
        count = 0
        for batch in self._raw_batches():
            where = f"batch from sample {count}"
            arrays = named_arrays(batch, self._inputs, where)
            fitted_batch = {spec.name: self._fit(arrays[spec.name], spec, where) for spec in self._inputs}
            sizes = {len(values) for values in fitted_batch.values()}
            if len(sizes) > 1:
                raise QuaintError(
                    "QC214", f"the inputs have different numbers of samples: {sorted(sizes)}", where=where
                )
            yield fitted_batch
            count += sizes.pop()

    def _fit(self, values: Array, spec: TensorSpec, where: str) -> Array:
        column = fitted(ArrayColumn(values, where), spec, self._layout)
        return to_model(values.reshape(column.shape), spec, self._layout, where)

    def _raw_batches(self) -> Iterator[Any]:
        number = 0
        try:
            for batch in self._batches() if callable(self._batches) else self._batches:
                yield batch
                number += 1
        except Exception as error:  # the user's code may raise anything
            what = f"the source of samples raised {type(error).__name__}: {error}"
            raise QuaintError("QC240", what, where=f"batch {number}") from error


def named_arrays(batch: Any, inputs: Sequence[TensorSpec], where: str) -> Batch:
    """``{input name: array}`` from a dictionary, or from an array where the model has one input.

    Raises:
        QuaintError: QC212 for wrong names, QC240 for anything else than arrays.
    """
    if isinstance(batch, Mapping):
        names = match_names([str(key) for key in batch], inputs, where)
        return {name: as_array(batch[key], where) for name, key in names.items()}
    if isinstance(batch, tuple) or len(inputs) > 1:
        listed = ", ".join(repr(spec.name) for spec in inputs)
        what = f"expected {{input name: array}}, got {type(batch).__name__}"
        raise QuaintError("QC240", what, where=where, hint=f"the model's inputs: {listed}")
    return {inputs[0].name: as_array(batch, where)}


def as_array(values: Any, where: str) -> Array:
    """``values`` as an array, without a copy where it is one.

    Raises:
        QuaintError: QC240 where NumPy can make none of it.
    """
    try:
        return np.asarray(values)
    except Exception as error:  # __array__ is the user's code
        what = f"{type(values).__name__} is no array: {error}"
        raise QuaintError("QC240", what, where=where) from error
