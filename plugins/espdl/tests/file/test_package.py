from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaint.errors import QuaintError
from quaint_espdl.file.package import is_package, models

ONE = b"EDL2" + struct.pack("<III", 0, 3, 0) + b"abc"
TWO = b"EDL2" + struct.pack("<III", 1, 5, 0) + b"defgh"
OLD = b"EDL1" + struct.pack("<II", 0, 2) + b"ij"


def package(magic: bytes, **members: bytes) -> bytes:
    """Headers, names, then the models at multiples of 16."""
    start = {b"PDL3": 60}.get(magic, 8)
    names = "".join(members).encode()
    at, offset = start + 12 * len(members), -(-(start + 12 * len(members) + len(names)) // 16) * 16
    entries, body = b"", b""
    for name, data in members.items():
        entries += struct.pack("<III", offset + len(body), at, len(name))
        at += len(name)
        body += data + bytes(-len(data) % 16)
    middle = bytes(52) if magic == b"PDL3" else b""
    head = magic + middle + struct.pack("<I", len(members)) + entries + names
    return head + bytes(offset - len(head)) + body


@pytest.mark.parametrize("magic", [b"PDL1", b"PDL2", b"PDL3"])
def test_models_by_name(magic: bytes) -> None:
    data = package(magic, first=ONE, second=TWO, old=OLD)
    assert is_package(data)
    assert models(data) == {"first": ONE, "second": TWO, "old": OLD}


def test_a_file_of_one_model_is_the_only_one() -> None:
    assert not is_package(ONE)
    assert models(ONE) == {"": ONE}


PACKAGE = package(b"PDL2", first=ONE, second=TWO)


@given(
    st.lists(st.tuples(st.integers(4, len(PACKAGE) - 1), st.integers(0, 255)), max_size=6), st.integers(4, len(PACKAGE))
)
def test_damage_is_refused_or_harmless(damage: list[tuple[int, int]], size: int) -> None:
    data = bytearray(PACKAGE)
    for index, value in damage:
        data[index] = value
    found = {}
    with contextlib.suppress(QuaintError):
        found = models(bytes(data[:size]), "net.espdl")
    assert sum(map(len, found.values())) <= size


def test_more_models_than_there_is_room_for() -> None:
    with pytest.raises(QuaintError, match="QM104"):
        models(b"PDL2" + struct.pack("<I", 2**32 - 1))
