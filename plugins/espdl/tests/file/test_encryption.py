from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaint.errors import QuaintError
from quaint_espdl.file.encryption import KEY_VARIABLE, crypt, key_from_environment, read_key

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("cryptography")
KEY = bytes(range(16))


def test_the_counter_begins_where_the_runtime_begins() -> None:
    """Each block is XORed with the encrypted counter: one block of AES, made another way."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    counters = [bytes(range(0x10, 0x20)), bytes([*range(0x10, 0x1F), 0x20])]
    block = Cipher(algorithms.AES128(KEY), modes.ECB()).encryptor()
    assert crypt(bytes(32), KEY) == b"".join(map(block.update, counters))


@given(st.binary(max_size=100), st.binary(min_size=16, max_size=16))
def test_twice_is_nothing(payload: bytes, key: bytes) -> None:
    assert crypt(crypt(payload, key), key) == payload


def test_a_key_is_32_digits(tmp_path: Path) -> None:
    file = tmp_path / "key.hex"
    file.write_text(f" {KEY.hex().upper()}\n")
    assert read_key(file) == KEY


@pytest.mark.parametrize("text", ["", "00", "0" * 33, "g" * 32, "0" * 31 + "\n0", "é" * 16])
def test_anything_else_is_no_key_and_is_not_shown(text: str, tmp_path: Path) -> None:
    file = tmp_path / "key.hex"
    file.write_text(text)
    with pytest.raises(QuaintError, match=r"QP512.*32 hexadecimal digits.*openssl rand -hex 16") as caught:
        read_key(file)
    assert not text.strip() or text.strip() not in str(caught.value)


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(QuaintError, match=r"QI604.*cannot read the key"):
        read_key(tmp_path / "no.hex")


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert key_from_environment() is None
    file = tmp_path / "key.hex"
    file.write_text(KEY.hex())
    monkeypatch.setenv(KEY_VARIABLE, str(file))
    assert key_from_environment() == KEY


def test_how_to_get_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers", None)
    with pytest.raises(QuaintError, match=r"QP530.*pip install 'quaint-espdl\[encryption\]'"):
        crypt(b"", KEY)
