"""The ``.espdl`` file: an envelope of 16 bytes around a FlatBuffer.

Little endian: magic ``EDL2``, u32 encryption (0 none, 1 AES-128-CTR), u32 length of the payload, u32 zero, payload.
The header's 16 bytes keep the 16-byte alignment of the raw data in flash; the older ``EDL1`` has 12 bytes (no zero).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from quaint.errors import QuaintError
from quaint_espdl.file.flatbuffer_read import read_payload
from quaint_espdl.file.flatbuffer_write import write_payload

if TYPE_CHECKING:
    from quaint_espdl.file.elements import EspdlModel

MAGIC = b"EDL2"
_HEADER_SIZE = {MAGIC: 16, b"EDL1": 12}
_PACKAGES = (b"PDL1", b"PDL2", b"PDL3")


def read(data: bytes, *, where: str | None = None) -> EspdlModel:
    """Decode an ``.espdl`` file.

    Args:
        data: the file's bytes, untrusted.
        where: the file's name, for messages.

    Raises:
        QuaintError: ``QM104``, it is truncated, corrupt, encrypted, or not one ``.espdl`` model.
    """
    return read_payload(_open_envelope(data, where), where)


def write(model: EspdlModel) -> bytes:
    """Encode a model as an ``.espdl`` file; the same model gives the same bytes."""
    payload = write_payload(model)
    return struct.pack("<4sIII", MAGIC, 0, len(payload), 0) + payload


def _open_envelope(data: bytes, where: str | None) -> bytes:
    magic = data[:4]
    if magic in _PACKAGES:
        raise QuaintError("QM104", "a package of several models", where=where, hint="give one .espdl file of it")
    if magic not in _HEADER_SIZE:
        raise QuaintError("QM104", "not an .espdl file: it does not start with EDL2", where=where)
    header = _HEADER_SIZE[magic]
    if len(data) < header:
        raise QuaintError("QM104", f"truncated .espdl file: {len(data)} bytes", where=where)
    encryption, length = struct.unpack_from("<II", data, 4)
    if encryption:
        raise QuaintError("QM104", "encrypted .espdl file", where=where, hint="export it without encryption")
    if len(data) != header + length:
        what = f"truncated or corrupt .espdl file: {len(data)} bytes where its header announces {header + length}"
        raise QuaintError("QM104", what, where=where, hint="export or copy it again")
    return data[header:]
