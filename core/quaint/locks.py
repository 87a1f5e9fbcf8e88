"""Locks that die with the process that holds them, and a clean end on SIGTERM (POSIX)."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
def terminate_as_exit() -> Iterator[Callable[[], None]]:
    """SIGTERM unwinds the block, as Ctrl-C does, and ends the process with status 143.

    Only where nobody else handles the signals, and in the main thread, as signals are Python's there. An exception that a
    handler raises is lost where Python happens to be closing a generator: the function that the block is given raises it again
    if need be, and so does the end of the block.
    """
    received: list[BaseException] = []

    def leave(number: int, _frame: FrameType | None) -> None:
        received.append(KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number))
        raise received[-1]

    def obey() -> None:
        if received:
            raise received[0]

    defaults: dict[int, Any] = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    main = threading.current_thread() is threading.main_thread()
    mine = [number for number, default in defaults.items() if main and signal.getsignal(number) is default]
    for number in mine:
        signal.signal(number, leave)
    try:
        yield obey
    finally:
        for number in mine:
            signal.signal(number, defaults[number])
    obey()


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
