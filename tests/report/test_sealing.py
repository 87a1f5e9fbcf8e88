"""Sealed manifests."""

from __future__ import annotations

import json

import pytest

from quaint.errors import QuaintError
from quaint.report.sealing import seal, unseal

FACTS = {"name": "größe", "scale": 0.1, "list": [1, None], "nested": {"b": 1, "a": 2}}


def test_what_was_sealed_comes_back_in_its_order() -> None:
    content = seal(FACTS)
    assert list(json.loads(content)) == [*FACTS, "sha256"]
    assert unseal(content, "m") == FACTS
    assert list(unseal(content, "m")["nested"]) == ["b", "a"]


@pytest.mark.parametrize("position", range(len(seal(FACTS))))
def test_any_changed_byte_shows(position: int) -> None:
    content = bytearray(seal(FACTS))
    content[position] ^= 1
    with pytest.raises(QuaintError, match="QV401"):
        unseal(bytes(content), "m")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"1", b"\xff", b"[" * 10**5, json.dumps(FACTS).encode()])
def test_anything_else_shows(content: bytes) -> None:
    with pytest.raises(QuaintError, match="QV401"):
        unseal(content, "m")
