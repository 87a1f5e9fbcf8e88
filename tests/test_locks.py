from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from quaint.errors import QuaintError
from quaint.locks import LOCK, locked, open_locked, terminate_as_exit

if TYPE_CHECKING:
    from pathlib import Path


def test_two_threads_exclude_each_other(tmp_path: Path) -> None:
    errors: list[QuaintError] = []

    def second() -> None:
        with pytest.raises(QuaintError) as caught, locked(tmp_path):
            pass
        errors.append(caught.value)

    with locked(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert [error.code for error in errors] == ["QI610"]
    assert f"process {os.getpid()}" in str(errors[0])
    assert not (tmp_path / LOCK).exists()


def test_a_lock_file_that_was_left_behind_does_not_count(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("1")
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == str(os.getpid())
    assert not (tmp_path / LOCK).exists()


def test_a_lock_on_a_file_that_was_renamed_meanwhile_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, first = os.open, True

    def renamed_after_opening(path: Path, flags: int, mode: int) -> int:
        nonlocal first
        descriptor = opened(path, flags, mode)
        if first:
            path.rename(tmp_path / "result")
        first = False
        return descriptor

    monkeypatch.setattr(os, "open", renamed_after_opening)
    descriptor = open_locked(tmp_path / "aside")
    assert os.path.samestat(os.fstat(descriptor), (tmp_path / "aside").stat())
    os.close(descriptor)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"kept")
    (tmp_path / LOCK).symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path):
        pass
    assert (tmp_path / "victim").read_bytes() == b"kept"


def test_sigterm_unwinds_and_the_handler_goes_again() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert before is signal.SIG_DFL
    with pytest.raises(SystemExit) as caught, terminate_as_exit():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_somebody_elses_handler_is_left_alone() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: seen.append(number))
    try:
        with terminate_as_exit():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]
