"""Locks that die with the process that holds them, and a clean end on SIGTERM (POSIX)."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

LOCK = ".quaint.lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Inside the block no other run may write to ``folder``.

    Raises:
        QuaintError: QI610, with the other run's process id, where one is at it.
    """
    path = folder / LOCK
    descriptor = open_locked(path)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def open_locked(path: Path) -> int:
    """A descriptor of the file at ``path``, made where it is missing, that this process alone holds locked.

    The kernel drops the lock of a process that dies, so a lock file that was left behind does not count.

    Raises:
        QuaintError: QI610 where another process holds it.
        OSError: where it cannot be made.
    """
    import fcntl

    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError as error:
            pid = os.pread(descriptor, 20, 0) if path.name == LOCK else b""
            holder = f" (process {pid.decode()})" if pid.isdigit() else ""
            what = f"another run{holder} writes there"
            os.close(descriptor)
            raise QuaintError(
                "QI610", what, where=str(path.parent), hint="wait for it, or give another output"
            ) from error
        os.close(descriptor)  # the holder renamed or removed the file while we were waiting to open it


@contextlib.contextmanager
def terminate_as_exit() -> Iterator[None]:
    """SIGTERM unwinds the block, as Ctrl-C does, and ends the process with status 143.

    Only where nobody else handles the signal, and in the main thread, as signals are Python's there. An exception that a
    handler raises is lost where Python happens to be closing a generator: the end of the block raises it again.
    """
    mine = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    received: list[int] = []

    def leave(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        raise SystemExit(128 + number)

    if mine:
        signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if received:
        raise SystemExit(128 + received[0])


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
