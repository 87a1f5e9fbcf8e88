"""Encryption of an ``.espdl`` file's payload: AES-128-CTR with a counter that the runtime fixes.

The same counter starts every file, so two files under one key give each other away: a key is for one model.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from quaint.errors import QuaintError

#: Names the key's file to whoever reads an encrypted model.
KEY_VARIABLE = "QUAINT_ESPDL_KEY"
_FIRST_COUNTER = bytes(range(0x10, 0x20))
_DIGITS = re.compile(r"[0-9a-fA-F]{32}")
_MAX_KEY_FILE = 1024


def crypt(payload: bytes, key: bytes) -> bytes:
    """The payload encrypted, or decrypted: in counter mode the two are the same.

    Args:
        payload: of any length.
        key: 16 bytes.

    Raises:
        QuaintError: QP530 where the package that does it is not installed.
    """
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    except ImportError as error:
        hint = "pip install 'quaint-espdl[encryption]'"
        raise QuaintError("QP530", "encrypted .espdl files need the package cryptography", hint=hint) from error
    made = Cipher(algorithms.AES128(key), modes.CTR(_FIRST_COUNTER)).encryptor()
    return made.update(payload) + made.finalize()


def read_key(path: str | Path) -> bytes:
    """The key that a file holds as 32 hexadecimal digits, spaces around them allowed; no message ever shows it.

    Raises:
        QuaintError: QI604 for a file that cannot be read, QP512 for one that holds anything else.
    """
    try:
        with Path(path).open("rb") as file:
            text = file.read(_MAX_KEY_FILE).decode("ascii", "replace").strip()
    except OSError as error:
        what = f"cannot read the key: {error.strerror}"
        raise QuaintError("QI604", what, where=str(path), hint="give its file: options.encrypt=FILE") from error
    if not _DIGITS.fullmatch(text):
        hint = "make one with: openssl rand -hex 16"
        raise QuaintError("QP512", "a key is 32 hexadecimal digits and nothing else", where=str(path), hint=hint)
    return bytes.fromhex(text)


def key_from_environment() -> bytes | None:
    """The key in the file that ``QUAINT_ESPDL_KEY`` names; None where it is not set."""
    path = os.environ.get(KEY_VARIABLE)
    return read_key(path) if path else None
