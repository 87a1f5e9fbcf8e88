"""External data of an ONNX model: read only from inside the model's folder, and only what is there.

Sizes and hard links are checked on the open file, before any byte is read. The checks stand beside
those of ``onnx`` and ``onnx_ir``, which differ from release to release (GHSA-538c-55jv-c5g9 and its forerunners).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quaint.frontends.limits import Limits

_KEYS = frozenset({"location", "offset", "length", "checksum", "basepath"})
_COPY_HINT = "put the data file itself into the model's folder, or allow links"


def read_external(
    entries: Mapping[str, str], nbytes: int, folder: Path | None, tensor: str, limits: Limits, where: str
) -> bytes:
    """The ``nbytes`` bytes of ``tensor`` that the ``entries`` of its TensorProto point at.

    Args:
        entries: the keys and values of ``TensorProto.external_data``.
        nbytes: what the tensor's shape and dtype call for; already within the limits.
        folder: the folder of the model file; None for a model that came without one.
        tensor: how messages call the tensor.
        limits: whether links may be followed.
        where: the model file, for messages.

    Raises:
        QuaintError: QM130 and QM140 to QM145, see the documentation of errors.
    """
    if unknown := sorted(set(entries) - _KEYS):
        raise QuaintError("QM145", f"external data of {tensor} has the unknown key {unknown[0]!r}", where=where)
    if not entries.get("location"):
        raise QuaintError("QM145", f"external data of {tensor} names no file", where=where)
    offset = _number(entries, "offset", tensor, where) or 0
    length = _number(entries, "length", tensor, where)
    if length is not None and length != nbytes:
        what = f"{tensor} declares {nbytes} bytes but its external data {length}"
        raise QuaintError("QM130", what, where=where)
    location = entries["location"]
    if folder is None:
        what = f"data of {tensor} is in {location!r}, but the model came without a folder"
        raise QuaintError("QM142", what, where=where, hint="give the path of the model file")
    _check_location(location, tensor, where)
    path = folder / location
    if not limits.follow_links:
        _check_links(folder, path, tensor, where)
    return _read(path, offset, nbytes, tensor, limits, where)


def _number(entries: Mapping[str, str], key: str, tensor: str, where: str) -> int | None:
    text = entries.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise QuaintError("QM144", f"external data of {tensor} has the {key} {text[:40]!r}, not a size", where=where)
    return int(text)


def _check_location(location: str, tensor: str, where: str) -> None:
    # Both conventions on every system: a model that is unsafe on one is refused on all.
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    absolute = posix.is_absolute() or windows.drive or windows.root
    if absolute or ".." in (*posix.parts, *windows.parts) or "\0" in location:
        what = f"external data of {tensor} points outside the model's folder, at {location!r}"
        raise QuaintError("QM140", what, where=where, hint="keep data files beside the model, named by relative paths")


def _check_links(folder: Path, path: Path, tensor: str, where: str) -> None:
    for part in (path, *path.parents):
        if part == folder:
            return
        if part.is_symlink():
            raise _link(part, tensor, where)


def _link(path: Path, tensor: str, where: str) -> QuaintError:
    what = f"external data of {tensor} is reached through the link {str(path)!r}"
    return QuaintError("QM141", what, where=where, hint=_COPY_HINT)


def _read(path: Path, offset: int, nbytes: int, tensor: str, limits: Limits, where: str) -> bytes:
    # Without O_NONBLOCK, opening a named pipe would wait for ever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not limits.follow_links:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    try:
        file = open(path, "rb", opener=lambda name, _: os.open(name, flags))  # noqa: SIM115 - Path has no opener
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        what = f"external data of {tensor} cannot be read from {str(path)!r} ({reason})"
        raise QuaintError("QM142", what, where=where, hint="the data file belongs beside the model file") from error
    with file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise QuaintError("QM142", f"external data of {tensor} is no file: {str(path)!r}", where=where)
        if status.st_nlink > 1 and not limits.follow_links:
            raise _link(path, tensor, where)
        if offset + nbytes > status.st_size:
            end, size = offset + nbytes, status.st_size
            what = f"external data of {tensor} ends at byte {end} of {str(path)!r}, which has {size}"
            raise QuaintError("QM143", what, where=where, hint="the data file is cut short or of another model")
        file.seek(offset)
        return file.read(nbytes)
