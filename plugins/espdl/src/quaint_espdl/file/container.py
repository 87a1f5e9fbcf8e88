"""The ``.espdl`` file: an envelope of 16 bytes around a FlatBuffer.

Little endian: magic ``EDL2``, u32 encryption (0 none, 1 AES-128-CTR), u32 length of the payload, u32 zero, payload.
The header's 16 bytes keep the 16-byte alignment of the raw data in flash; the older ``EDL1`` has 12 bytes (no zero).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from quaint.errors import QuaintError
from quaint_espdl.file.encryption import KEY_VARIABLE, crypt
from quaint_espdl.file.flatbuffer_read import read_payload
from quaint_espdl.file.flatbuffer_write import write_payload
from quaint_espdl.file.package import HEADER_SIZE, is_package, models

if TYPE_CHECKING:
    from quaint_espdl.file.elements import EspdlModel

MAGIC = b"EDL2"


def read(data: bytes, *, where: str | None = None, key: bytes | None = None) -> EspdlModel:
    """Decode an ``.espdl`` file.

    Args:
        data: the file's bytes, untrusted.
        where: the file's name, for messages.
        key: 16 bytes, where the file is encrypted.

    Raises:
        QuaintError: ``QM104``, it is truncated, corrupt, encrypted with another key, or not one ``.espdl`` model.
    """
    header, encrypted = _check_envelope(data, where)
    payload = data[header:]
    if not encrypted:
        return read_payload(payload, where)
    if key is None:
        hint = f"set {KEY_VARIABLE} to the path of the file with its key"
        raise QuaintError("QM104", "encrypted .espdl file", where=where, hint=hint)
    try:
        return read_payload(crypt(payload, key), where)
    except QuaintError as error:
        if error.code != "QM104":
            raise
        what = "encrypted .espdl file, which this key does not open, or which is corrupt"
        raise QuaintError("QM104", what, where=where, hint="take the key that it was made with") from error


def is_encrypted(data: bytes) -> bool:
    """Whether the payload of an ``.espdl`` file is encrypted."""
    return data[:4] in HEADER_SIZE and data[4:8] not in {b"", bytes(4)}


def write(model: EspdlModel, key: bytes | None = None) -> bytes:
    """Encode a model as an ``.espdl`` file; the same model and key give the same bytes.

    Args:
        model: what the file shall hold.
        key: 16 bytes to encrypt it with; None for a plain file.

    Raises:
        QuaintError: QP530 where the package for encryption is not installed.
    """
    payload = write_payload(model)
    header = struct.pack("<4sIII", MAGIC, key is not None, len(payload), 0)
    return header + (payload if key is None else crypt(payload, key))


def _check_envelope(data: bytes, where: str | None) -> tuple[int, bool]:
    """Size of the header, and whether the payload is encrypted."""
    magic = data[:4]
    if is_package(data):
        names = ", ".join(models(data, where))
        hint = f"quaint_espdl.reading.reader.load(file, model=NAME) takes one of {names}"
        raise QuaintError("QM104", "a package of several models", where=where, hint=hint)
    if magic not in HEADER_SIZE:
        raise QuaintError("QM104", "not an .espdl file: it does not start with EDL2", where=where)
    header = HEADER_SIZE[magic]
    if len(data) < header:
        raise QuaintError("QM104", f"truncated .espdl file: {len(data)} bytes", where=where)
    encryption, length = struct.unpack_from("<II", data, 4)
    if encryption > 1:
        raise QuaintError("QM104", f".espdl file with unknown encryption {encryption}", where=where)
    if len(data) != header + length:
        what = f"truncated or corrupt .espdl file: {len(data)} bytes where its header announces {header + length}"
        raise QuaintError("QM104", what, where=where, hint="export or copy it again")
    return header, bool(encryption)
