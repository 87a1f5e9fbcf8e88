"""What a file is, by its content: suffixes are missing or wrong too often to be trusted."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

#: What ``detect`` may answer: how to call it, and what to try where an ONNX file was expected.
FORMATS = {
    "onnx": ("an ONNX model", ""),
    "empty": ("an empty file", "write or download it again"),
    "keras": ("a Keras archive", "give it the suffix .keras"),
    "h5": ("an HDF5 file", "give it the suffix .h5 if it is a Keras model"),
    "pt2": ("a PyTorch exported program", "give it the suffix .pt2"),
    "torch": ("a pickled PyTorch checkpoint", "export the model with torch.onnx.export or torch.export.save"),
    "pickle": ("a Python pickle", "reading it could run code: export the model to ONNX"),
    "npz": ("an archive of arrays", "samples go to --samples"),
    "npy": ("an array", "samples go to --samples"),
    "zip": ("a zip archive", "unpack it and give the model inside"),
    "compressed": ("a compressed file", "unpack it and give the model inside"),
    "flatbuffer": ("a FlatBuffer", "give the model that it was made from, as ONNX"),
    "lfs-pointer": ("a Git LFS pointer", "run git lfs pull"),
    "html": ("a web page", "download the file itself, not the page that shows it"),
    "json": ("JSON text", "give the model itself"),
    "text": ("text", "give the model itself, in binary form"),
    "folder": ("a folder", "give the model file inside"),
    "unknown": ("of no known format", "download or export it again"),
}

_MAGIC = (
    (b"\x89HDF\r\n\x1a\n", "h5"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "compressed"),
    (b"BZh", "compressed"),
    (b"\xfd7zXZ\x00", "compressed"),
    (b"7z\xbc\xaf\x27\x1c", "compressed"),
    (b"\x28\xb5\x2f\xfd", "compressed"),
)
_HEAD = 4096

# Fields of onnx.ModelProto (onnx.proto) and their wire types: 0 a varint, 2 length-delimited.
_MODEL_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_GRAPH_FIELD = 7
_MAX_FIELDS = 100_000


def detect(path: str | os.PathLike[str]) -> str:
    """The format of a file, one of the keys of ``FORMATS``; reads little of it and runs nothing.

    Raises:
        OSError: if the file cannot be read.
    """
    if stat.S_ISDIR(Path(path).stat().st_mode):
        return "folder"
    with Path(path).open("rb") as file:
        head = file.read(_HEAD)
        if not head:
            return "empty"
        for magic, kind in _MAGIC:
            if head.startswith(magic):
                return _archive(file) if kind == "zip" else kind
        if _is_text(head):
            return _text(head)
        if _is_onnx(file):
            return "onnx"
    if head[:1] == b"\x80" and head[1] in range(2, 6):
        return "pickle"
    # FlatBuffers: the root's offset, little-endian, then four characters that identify the schema.
    if len(head) >= 8 and head[4:8].isalnum() and 8 <= int.from_bytes(head[:4], "little") <= _HEAD:
        return "flatbuffer"
    return "unknown"


def declared_size(path: str | os.PathLike[str]) -> int:
    """The least size in bytes that the top-level fields of a protobuf file declare."""
    with Path(path).open("rb") as file:
        return max((end for _, _, end in _fields(file)), default=0)


def _archive(file: BinaryIO) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return "zip"
    if "config.json" in names and "model.weights.h5" in names:
        return "keras"
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        return "pt2"
    if any(name.endswith("data.pkl") for name in names):
        return "torch"
    return "npz" if names and all(name.endswith(".npy") for name in names) else "zip"


def _is_text(head: bytes) -> bool:
    try:
        # A character may be cut in two at the end of what was read.
        text = head.decode("utf-8", "strict" if len(head) < _HEAD else "ignore")
    except UnicodeDecodeError:
        return False
    return all(c.isprintable() or c in "\t\n\r\f\ufeff" for c in text)


def _text(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        return "lfs-pointer"
    if text.startswith((b"<!doctype html", b"<html")):
        return "html"
    return "json" if text.startswith((b"{", b"[")) else "text"


def _is_onnx(file: BinaryIO) -> bool:
    graph = False
    for number, wire, _ in _fields(file):
        if _MODEL_FIELDS.get(number, wire) != wire:
            return False
        graph = graph or number == _GRAPH_FIELD
    return graph


def _fields(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Number, wire type and end of each top-level field, up to the first that is malformed or cut off."""
    size, position = os.fstat(file.fileno()).st_size, 0
    for _ in range(_MAX_FIELDS):
        if position >= size:
            return
        file.seek(position)
        tag = _varint(file)
        if tag is None or not 0 < tag >> 3 < 1 << 29:
            return
        length = {1: 8, 5: 4}.get(tag & 7)
        if tag & 7 in (0, 2):
            value = _varint(file)
            length = value if tag & 7 == 2 else (0 if value is not None else None)
        if length is None:
            return
        position = file.tell() + length
        yield tag >> 3, tag & 7, position


def _varint(file: BinaryIO) -> int | None:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None


#: Formats that core reads, and the name of the front end of each.
FRONTENDS = {"onnx": ".onnx", "keras": ".keras", "h5": ".h5", "pt2": ".pt2", "torch": ".pt2", "pickle": ".pt2"}


def frontend_of(path: Path, known: Collection[str]) -> str:
    """Name of the front end for a model file: by content where that is told, else by suffix.

    What no front end reads goes to the ONNX one, which says what is wrong with the file.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        return FRONTENDS["onnx"]
    by_content = FRONTENDS.get(detect(path), "")
    if by_content in known:
        return by_content
    return suffix if suffix in known and suffix not in FRONTENDS.values() else FRONTENDS["onnx"]
