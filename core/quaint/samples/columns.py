"""Where samples come from: columns (one input each) and sources (all inputs together), read a few rows at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from quaint.errors import QuaintError
from quaint.samples.spec import batch_shape, check_dtype, to_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.samples.spec import TensorSpec

Array: TypeAlias = "NDArray[np.generic]"
Batch: TypeAlias = dict[str, Array]


class Column(Protocol):
    """The samples of one input, batch first; read in order, as often as one likes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all of it."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """As stored."""

    @property
    def where(self) -> str:
        """File or argument, for messages."""

    def read(self, rows: int) -> Iterator[Array]:
        """Consecutive pieces of at most ``rows`` samples."""


class Source(Protocol):
    """The samples of all inputs, as the model takes them."""

    @property
    def count(self) -> int:
        """Number of samples."""

    def pieces(self, rows: int) -> Iterator[Batch]:
        """Consecutive batches, of any size where the source has its own, else of at most ``rows`` samples."""


@dataclass(frozen=True)
class ArrayColumn:
    """An array in memory."""

    values: Array
    where: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Dtype of the array."""
        return self.values.dtype

    def read(self, rows: int) -> Iterator[Array]:
        """Views of ``rows`` samples."""
        return slices(self.values, rows)


@dataclass(frozen=True)
class OneSample:
    """A column whose array is a single sample, without a batch axis."""

    column: Column

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape with the batch axis."""
        return (1, *self.column.shape)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """As stored."""
        return self.column.dtype

    @property
    def where(self) -> str:
        """File or argument, for messages."""
        return self.column.where

    def read(self, rows: int) -> Iterator[Array]:  # noqa: ARG002 - there is one row
        """The sample."""
        yield np.concatenate(list(self.column.read(self.column.shape[0])))[np.newaxis]


class ChainedColumn:
    """Columns one after the other, such as the files of a folder."""

    def __init__(self, columns: Sequence[Column], where: str) -> None:
        self._columns, self.where, self.dtype = columns, where, columns[0].dtype
        for column in columns:
            if column.shape[1:] != columns[0].shape[1:]:
                what = f"samples differ in shape: {list(column.shape[1:])}, and {list(columns[0].shape[1:])} before"
                raise QuaintError("QC210", what, where=column.where)
        self.shape = (sum(column.shape[0] for column in columns), *columns[0].shape[1:])

    def read(self, rows: int) -> Iterator[Array]:
        """The pieces of every column in turn."""
        for column in self._columns:
            yield from column.read(rows)


class ColumnSource:
    """Columns side by side, one for each input of the model.

    Raises:
        QuaintError: QC214 where they differ in length.
    """

    def __init__(self, columns: Mapping[str, Column], inputs: Sequence[TensorSpec], layout: str | None) -> None:
        self._columns, self._inputs, self._layout = columns, inputs, layout
        counts = {name: column.shape[0] for name, column in columns.items()}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise QuaintError("QC214", f"the inputs have different numbers of samples: {listed}")
        self.count = next(iter(counts.values()))

    def pieces(self, rows: int) -> Iterator[Batch]:
        """Batches of ``rows`` samples, the last one smaller."""
        streams = [rebatch(self._pieces_of(spec, rows), rows) for spec in self._inputs]
        for parts in zip(*streams, strict=True):
            yield {name: values for part in parts for name, values in part.items()}

    def _pieces_of(self, spec: TensorSpec, rows: int) -> Iterator[Batch]:
        column = self._columns[spec.name]
        for piece in column.read(rows):
            yield {spec.name: to_model(piece, spec, self._layout, column.where)}


@dataclass(frozen=True)
class FirstSamples:
    """The first ``count`` samples of a source."""

    source: Source
    count: int

    def pieces(self, rows: int) -> Iterator[Batch]:
        """The source's pieces, and no more of them than needed."""
        left = self.count
        for piece in self.source.pieces(min(rows, left)):
            yield {name: values[:left] for name, values in piece.items()}
            left -= rows_of(piece)
            if left <= 0:
                return


def fitted(column: Column, spec: TensorSpec, layout: str | None) -> Column:
    """``column`` after a look at its shape and dtype; one sample becomes a batch of one.

    Raises:
        QuaintError: QC201, QC210, QC211, QC213 or QC220.
    """
    where = f"{column.where}, input '{spec.name}'"
    shape = batch_shape(column.shape, spec, layout, where)
    check_dtype(column.dtype, spec, where)
    return column if shape == tuple(column.shape) else OneSample(column)


def rebatch(pieces: Iterable[Batch], rows: int) -> Iterator[Batch]:
    """The same samples in batches of exactly ``rows``, the last one smaller."""
    held: list[Batch] = []
    count = 0
    for piece in pieces:
        start, size = 0, rows_of(piece)
        while start < size:
            part = {name: values[start : start + rows - count] for name, values in piece.items()}
            held.append(part)
            start, count = start + rows_of(part), count + rows_of(part)
            if count == rows:
                yield _joined(held)
                held, count = [], 0
    if held:
        yield _joined(held)


def slices(values: Array, rows: int) -> Iterator[Array]:
    """Views of at most ``rows`` consecutive samples."""
    for start in range(0, len(values), rows):
        yield np.asarray(values[start : start + rows])


def rows_of(batch: Batch) -> int:
    """Number of samples in a batch."""
    return len(next(iter(batch.values())))


def _joined(parts: Sequence[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
