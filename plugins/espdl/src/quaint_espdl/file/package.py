"""Packages: several ``.espdl`` files in one, as they lie in a partition of the flash.

Little endian. ``PDL1`` (of ``EDL1`` files) and ``PDL2`` (of ``EDL2`` files, each at a multiple of 16): magic, u32 number of
models. ``PDL3``: magic, 16 characters of version, u32 size, 32 bytes of SHA-256, u32 number of models. Then for each model
three u32, from the file's start: where it lies, where its name lies, and the name's length.
"""

from __future__ import annotations

import struct

from quaint.errors import QuaintError

#: Magic -> where the number of models stands.
_COUNT_AT = {b"PDL1": 4, b"PDL2": 4, b"PDL3": 56}
_ENTRY = struct.Struct("<III")
_MAX_NAME = 255
_EDL_HEADER = struct.Struct("<4sII")
#: Magic of a file of one model -> size of its header.
HEADER_SIZE = {b"EDL1": 12, b"EDL2": 16}


def is_package(data: bytes) -> bool:
    """Whether a file is a package."""
    return data[:4] in _COUNT_AT


def models(data: bytes, where: str | None = None) -> dict[str, bytes]:
    """The files in a package by name, in its order; a file that is no package is the only one, without a name.

    Raises:
        QuaintError: ``QM104``, it is truncated or corrupt.
    """
    if not is_package(data):
        return {"": data}
    try:
        at = _COUNT_AT[data[:4]]
        (count,) = struct.unpack_from("<I", data, at)
        entries = list(_ENTRY.iter_unpack(data[at + 4 : at + 4 + count * _ENTRY.size]))
        sizes = [_size(data, offset) for offset, _, _ in entries]
        names = [data[at : at + min(length, _MAX_NAME)].decode() for _, at, length in entries]
    except (struct.error, ValueError, KeyError) as error:
        raise QuaintError("QM104", "truncated or corrupt package of models", where=where) from error
    if len(entries) != count or sum(sizes) > len(data):
        raise QuaintError("QM104", "truncated or corrupt package of models", where=where)
    return {name: data[at : at + size] for name, (at, _, _), size in zip(names, entries, sizes, strict=True)}


def _size(data: bytes, offset: int) -> int:
    """Bytes of the file that begins at ``offset``, without what pads it."""
    magic, _, length = _EDL_HEADER.unpack_from(data, offset)
    return HEADER_SIZE[magic] + int(length)
