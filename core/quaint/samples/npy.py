"""NumPy's files as untrusted input: headers checked before anything is allocated or inflated, nothing unpickled.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. An ``.npz`` is a zip of ``.npy`` members.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
import tokenize
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from quaint.errors import QuaintError
from quaint.samples.columns import slices

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from quaint.samples.columns import Array

NPY_MAGIC, ZIP_MAGICS = b"\x93NUMPY", (b"PK\x03\x04", b"PK\x05\x06")
#: What an archive may inflate to: this many times its own size, unless that is little anyway, and never more than MAX_BYTES.
MAX_INFLATION, HARMLESS_BYTES, MAX_BYTES = 200, 16 * 2**20, 16 * 2**30
#: By version; the third is for records with names beyond ASCII, which are no samples.
HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
#: What NumPy's parser of headers, which is Python's, raises on hostile ones.
BAD_HEADER = (ValueError, LookupError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)
CORRUPT = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, UnicodeDecodeError)


@dataclass(frozen=True)
class Header:
    """What an ``.npy`` file or member says of itself, with ``offset`` bytes in front of the data."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[np.generic]
    offset: int

    @property
    def nbytes(self) -> int:
        """Size of the data."""
        return math.prod(self.shape) * self.dtype.itemsize

    def check_size(self, held: int, where: str) -> None:
        """Refuse a header that declares anything but the ``held`` bytes."""
        if self.nbytes != held:
            what = f"the header declares {self.nbytes} bytes ({list(self.shape)} {self.dtype}) and {held} are there"
            raise QuaintError("QC224", what, where=where, hint="truncated or corrupt: write the file again")


class NpyFile:
    """An ``.npy`` file."""

    def __init__(self, path: Path) -> None:
        self._path, self.where = path, str(path)
        with path.open("rb") as stream:
            self._header = read_header(stream, self.where)
        self._header.check_size(path.stat().st_size - self._header.offset, self.where)
        self.shape, self.dtype = self._header.shape, self._header.dtype

    def read(self, rows: int) -> Iterator[Array]:
        """Arrays of their own, or views into a memory map where the samples are not consecutive."""
        if self._header.fortran:
            yield from slices(_mapped(self._path, self._header), rows)
            return
        with self._path.open("rb") as stream:
            stream.seek(self._header.offset)
            yield from _rows(stream, self._header, rows)


class NpzMember:
    """One array of an ``.npz``, inflated ``rows`` samples at a time."""

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._member, self.where = path, f"{key}.npy", f"{path}[{key}]"
        with _corrupt_is_qc221(self.where), zipfile.ZipFile(path) as archive:
            size = archive.getinfo(self._member).file_size
            with archive.open(self._member) as stream:
                self._header = read_header(stream, self.where)
        self._header.check_size(size - self._header.offset, self.where)
        self.shape, self.dtype = self._header.shape, self._header.dtype

    def read(self, rows: int) -> Iterator[Array]:
        """Arrays of their own, or views into a temporary file where the samples are not consecutive."""
        with (
            _corrupt_is_qc221(self.where),
            zipfile.ZipFile(self._path) as archive,
            archive.open(self._member) as stream,
        ):
            if self._header.fortran:
                yield from self._spooled(stream, rows)
                return
            stream.read(self._header.offset)
            yield from _rows(stream, self._header, rows)

    def _spooled(self, stream: IO[bytes], rows: int) -> Iterator[Array]:
        with tempfile.TemporaryFile() as spool:
            shutil.copyfileobj(stream, spool)
            spool.flush()
            yield from slices(_mapped(spool, self._header), rows)


def read_header(stream: IO[bytes], where: str) -> Header:
    """The header at the start of ``stream``: plain numbers only, sizes within limits.

    Raises:
        QuaintError: QC220 for pickled objects, QC224 for whatever else is not plain numbers.
    """
    counted = _Counted(stream)
    try:
        shape, fortran, dtype = HEADER_READERS[np.lib.format.read_magic(counted)](counted)
    except BAD_HEADER as error:
        raise QuaintError("QC224", f"not a valid .npy header: {_first_line(error)}", where=where) from error
    if dtype.hasobject:
        hint = "save plain numeric arrays; a ragged list makes such an array"
        raise QuaintError("QC220", "holds Python objects (pickle), which are never loaded", where=where, hint=hint)
    if dtype.kind not in "biuf":
        raise QuaintError("QC224", f"dtype {dtype} is not a number", where=where)
    header = Header(shape, fortran, dtype, counted.count)
    if any(size < 0 for size in shape) or header.nbytes > MAX_BYTES:
        raise QuaintError("QC224", f"impossible shape {list(shape)} of {dtype}", where=where)
    return header


def npz_keys(path: Path) -> list[str]:
    """Names of the arrays in an archive, after a look at what it would inflate to.

    Raises:
        QuaintError: QC221 corrupt, QC222 inflates beyond the limits, QC223 one name twice.
    """
    where = str(path)
    with _corrupt_is_qc221(where), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    inflated, limit = sum(member.file_size for member in members), MAX_INFLATION * path.stat().st_size
    if inflated > min(max(limit, HARMLESS_BYTES), MAX_BYTES):
        what = f"inflates from {path.stat().st_size} to {inflated} bytes"
        hint = f"at most {MAX_INFLATION}:1 and {MAX_BYTES} bytes: save it uncompressed (np.savez)"
        raise QuaintError("QC222", what, where=where, hint=hint)
    names = [member.filename for member in members]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise QuaintError("QC223", f"holds several members of the name '{twice[0]}'", where=where)
    foreign = [name for name in names if not name.endswith(".npy")]
    if foreign:
        raise QuaintError("QC221", f"not an .npz: the member '{foreign[0]}' is no array", where=where)
    return [name.removesuffix(".npy") for name in names]


def _rows(stream: IO[bytes], header: Header, rows: int) -> Iterator[Array]:
    """The samples of a stream that stands at its data, ``rows`` at a time."""
    total, *shape = header.shape
    row_bytes = header.nbytes // max(total, 1)
    for start in range(0, total, rows):
        count = min(rows, total - start)
        data = stream.read(count * row_bytes)
        if len(data) != count * row_bytes:
            raise EOFError(f"ends at sample {start + len(data) // max(row_bytes, 1)}")
        yield np.frombuffer(data, header.dtype).reshape(count, *shape)


def _mapped(file: Path | IO[bytes], header: Header) -> Array:
    order = "F" if header.fortran else "C"
    return np.memmap(file, header.dtype, "r", header.offset, header.shape, order)  # type: ignore[call-overload, no-any-return]


@contextlib.contextmanager
def _corrupt_is_qc221(where: str) -> Iterator[None]:
    try:
        yield
    except CORRUPT as error:
        what = f"corrupt archive: {_first_line(error)}"
        raise QuaintError("QC221", what, where=where, hint="write or download the file again") from error


class _Counted:
    """A stream that knows how far it has been read: members of an archive need not know."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.count = stream, 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        return data


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
