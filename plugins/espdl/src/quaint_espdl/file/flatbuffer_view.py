"""Bounds-checked access to an untrusted FlatBuffer: every offset and length is checked before it is followed.

Binary format: https://flatbuffers.dev/internals/. A FlatBuffer may point to one object from many places, so a small
file could unfold into a huge tree; a budget proportional to the file's size forbids that.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NoReturn

import numpy as np

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

U16: Final = struct.Struct("<H")
U32: Final = struct.Struct("<I")
U8: Final = struct.Struct("<B")
I32: Final = struct.Struct("<i")
I64: Final = struct.Struct("<q")
F32: Final = struct.Struct("<f")

#: Bytes that may be read per byte of the file (one, unless objects are shared).
SHARING = 4
#: Bytes that a table is counted as, at least.
TABLE_COST = 32


class Buffer:
    """The payload of a file and what may still be read of it."""

    def __init__(self, data: bytes, where: str | None) -> None:
        self.data, self.where = data, where
        self._budget = SHARING * len(data)
        self._strings: dict[int, str] = {}

    def refuse(self, what: str) -> NoReturn:
        """Raise the error for a file that cannot be what it claims to be."""
        raise QuaintError(
            "QM104", f"truncated or corrupt .espdl file: {what}", where=self.where, hint="export or copy it again"
        )

    def root(self) -> Table:
        """The table that the first four bytes point to."""
        return Table(self, self.follow(0))

    def number(self, code: struct.Struct, position: int) -> int:
        """One integer."""
        self._check(position, code.size)
        return int(code.unpack_from(self.data, position)[0])

    def float32(self, position: int) -> float:
        """One float, as the Python float of the same value."""
        self._check(position, F32.size)
        return float(F32.unpack_from(self.data, position)[0])

    def follow(self, position: int) -> int:
        """The position that the offset stored at ``position`` points to."""
        return position + self.number(U32, position)

    def spend(self, size: int) -> None:
        """Count ``size`` bytes as read."""
        self._budget -= size
        if self._budget < 0:
            self.refuse("objects overlap")

    def vector(self, position: int, item: int) -> tuple[int, int]:
        """Start and count of a vector of ``item`` bytes per element."""
        count = self.number(U32, position)
        self._check(position + 4, count * item)
        self.spend(4 + count * item)
        return position + 4, count

    def string(self, position: int) -> str:
        """A UTF-8 string (writers may share one among many places)."""
        if position not in self._strings:
            start, count = self.vector(position, 1)
            try:
                self._strings[position] = self.data[start : start + count].decode()
            except UnicodeDecodeError:
                self.refuse(f"text at byte {start} is not UTF-8")
        return self._strings[position]

    def _check(self, position: int, size: int) -> None:
        if position < 0 or position + size > len(self.data):
            self.refuse(f"byte {position + size} of {len(self.data)} is referred to")


class Table:
    """One table: fields by number, absent ones read as their default."""

    def __init__(self, buffer: Buffer, position: int) -> None:
        buffer.spend(TABLE_COST)
        self.buffer, self._position = buffer, position
        self._vtable = position - buffer.number(I32, position)
        self._vtable_size = buffer.number(U16, self._vtable)

    def _field(self, field: int) -> int | None:
        """Position of a field, None if it is absent."""
        slot = 4 + 2 * field
        if slot + 2 > self._vtable_size:
            return None
        offset = self.buffer.number(U16, self._vtable + slot)
        return self._position + offset if offset else None

    def _target(self, field: int) -> int | None:
        """Position of the object that a field points to, None if it is absent."""
        position = self._field(field)
        return None if position is None else self.buffer.follow(position)

    def integer(self, field: int, code: struct.Struct = I32) -> int:
        """An integer, 0 by default."""
        position = self._field(field)
        return 0 if position is None else self.buffer.number(code, position)

    def float32(self, field: int) -> float:
        """A float, 0 by default."""
        position = self._field(field)
        return 0.0 if position is None else self.buffer.float32(position)

    def string(self, field: int) -> str:
        """A string, empty by default."""
        target = self._target(field)
        return "" if target is None else self.buffer.string(target)

    def table(self, field: int) -> Table | None:
        """A table, None if it is absent."""
        target = self._target(field)
        return None if target is None else Table(self.buffer, target)

    def tables(self, field: int) -> Iterator[Table]:
        """The tables of a vector."""
        return (Table(self.buffer, target) for target in self._targets(field))

    def strings(self, field: int) -> tuple[str, ...]:
        """The strings of a vector."""
        return tuple(self.buffer.string(target) for target in self._targets(field))

    def numbers(self, field: int, dtype: str) -> NDArray[np.generic]:
        """The numbers of a vector, empty by default."""
        return np.frombuffer(self.data(field, np.dtype(dtype).itemsize), dtype)

    def data(self, field: int, item: int = 1) -> bytes:
        """The bytes of a vector of elements of ``item`` bytes, empty by default."""
        target = self._target(field)
        if target is None:
            return b""
        start, count = self.buffer.vector(target, item)
        return self.buffer.data[start : start + count * item]

    def _targets(self, field: int) -> Iterator[int]:
        """Positions of the objects that a vector of offsets points to."""
        target = self._target(field)
        if target is not None:
            start, count = self.buffer.vector(target, 4)
            yield from (self.buffer.follow(start + 4 * index) for index in range(count))
