"""Output: written aside and renamed into place, so that a file is either what it was before or complete."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from contextlib import ExitStack
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Self, TypeAlias

from quaint.errors import QuaintError
from quaint.locks import LOCK, locked, open_locked, terminate_as_exit
from quaint.output_checks import check_targets, refuse_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from numpy.typing import ArrayLike

Content: TypeAlias = "bytes | Callable[[IO[bytes]], object]"

STAGING, JOURNAL = ".quaint-staging", "commit.json"
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class OutputFolder:
    """A folder whose new files appear together, when the ``with`` block ends well, or not at all.

    Everything is written into a hidden folder inside it. At the end the files are synced to disk and renamed into place
    under a journal, from which an error, an interrupt or, after a kill, the next run restores what was there before.

    Args:
        path: the folder; it is made where it is missing.
        force: replace files of the same names.
        protect: inputs: files that are never replaced and folders that are not written into, whatever ``force`` says.

    Raises:
        QuaintError: on entry QI601 (an input), QI602 (cannot be written), QI610 (another run is at work there); on exit
            QI600 (a file exists), QI603 (disk full).
    """

    def __init__(self, path: str | os.PathLike[str], *, force: bool = False, protect: Sequence[Path] = ()) -> None:
        self.path, self._force, self._protect = Path(path), force, protect
        self._staging = self.path / STAGING
        self._new, self._old = self._staging / "new", self._staging / "old"

    def __enter__(self) -> Self:
        refuse_inputs([self.path], self._protect)
        with ExitStack() as stack:
            self._obey_signals = stack.enter_context(terminate_as_exit())
            with _unwritable_is_qi602(self.path):
                stack.enter_context(_made(self.path))
                stack.enter_context(locked(self.path))
                _clean(self.path)
                stack.callback(_clean, self.path)
                self._new.mkdir(parents=True)
                self._old.mkdir()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if error is None:
                self._obey_signals()
                with _unwritable_is_qi602(self.path):
                    self._commit()
            elif isinstance(error, OSError) and error.errno in DISK_FULL:
                staged = _files(self._new)
                latest = max(staged, key=lambda file: file.stat().st_mtime_ns, default=None)
                needed = sum(file.stat().st_size for file in staged)
                name = latest.relative_to(self._new).as_posix() if latest else "."
                raise _disk_full(self.path / name, needed) from error

    def declare(self, names: Sequence[str], size: int = 0) -> None:
        """Check, before the work, that files of these names may be written, and ``size`` bytes of them if that is known.

        Raises:
            QuaintError: QI600 one exists, QI601 one is an input, QI602 one is a folder, QI603 too little space.
        """
        targets = [self.path / _inside(name) for name in names]
        check_targets(targets, self._protect, force=self._force)
        if size > shutil.disk_usage(self.path).free:
            raise _disk_full(self.path, size)

    def stage(self, name: str) -> Path:
        """Where to write what will be ``name``, a relative path, in the folder."""
        path = self._new / _inside(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, name: str, content: Content) -> Path:
        """Write one file, from bytes or a function that writes to a stream; the path that it will have.

        Raises:
            QuaintError: QI603.
        """
        path = self.stage(name)
        with path.open("xb") as stream:
            _fill(stream, content, self.path / name)
        return self.path / name

    def _commit(self) -> None:
        staged = _files(self._new)
        names = [file.relative_to(self._new).as_posix() for file in staged]
        self.declare(names)
        for file in staged:
            _sync(file)
        journal = {name: os.path.lexists(self.path / name) for name in names}
        write_atomic(self._staging / JOURNAL, json.dumps(journal).encode())
        try:
            for name, existed in journal.items():
                target = self.path / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if existed:
                    (self._old / name).parent.mkdir(parents=True, exist_ok=True)
                    target.replace(self._old / name)
                (self._new / name).replace(target)
            _sync(self.path)
            (self._staging / JOURNAL).unlink()  # from here on the new files are the ones
        except BaseException:
            _roll_back(self.path)
            raise


def check_target(path: str | os.PathLike[str], *, force: bool = False, protect: Sequence[Path] = ()) -> None:
    """Check, before the work, that ``write_atomic`` may write ``path``.

    Raises:
        QuaintError: QI600 it exists, QI601 it is an input, QI602 it cannot be written.
    """
    path = Path(path)
    check_targets([path], protect, force=force)
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise QuaintError("QI602", "no folder that can be written", where=str(path.parent), hint="make it first")


def write_atomic(
    path: str | os.PathLike[str], content: Content, *, force: bool = False, protect: Sequence[Path] = ()
) -> None:
    """Write one file as a whole or not at all.

    Args:
        path: the file; its folder must exist.
        content: bytes, or a function that writes to a binary stream.
        force: replace an existing file.
        protect: inputs, which are never replaced.

    Raises:
        QuaintError: QI600, QI601, QI602 as ``check_target``; QI603 disk full; QI610 another run writes it.
    """
    path = Path(path)
    check_target(path, force=force, protect=protect)
    # The name is the same in every run: what a killed one left behind is taken over, and two at once are noticed.
    aside = path.parent / f".quaint-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}"
    with terminate_as_exit(), _unwritable_is_qi602(path):
        descriptor = open_locked(aside)
        try:
            os.ftruncate(descriptor, 0)
            with open(descriptor, "wb", closefd=False) as stream:
                _fill(stream, content, path)
            os.fsync(descriptor)
            check_target(path, force=force, protect=protect)
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        _sync(path.parent)


def hash_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hex."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def save_npz(file: str | os.PathLike[str] | IO[bytes], arrays: Mapping[str, ArrayLike]) -> None:
    """An ``.npz`` that is the same, byte for byte, for the same arrays on every system and at any time.

    Raises:
        ValueError: for an array of Python objects.
    """
    import zipfile

    import numpy as np

    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o644 << 16  # else of the system that it runs on
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asarray(arrays[name]), allow_pickle=False)


def _inside(name: str) -> PurePath:
    """``name`` as a relative path that stays inside the folder and out of our own files."""
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0] in {LOCK, STAGING}:
        raise ValueError(f"not a name for an output file: {name!r}")
    return path


def _fill(stream: IO[bytes], content: Content, path: Path) -> None:
    try:
        if isinstance(content, bytes):
            stream.write(content)
        else:
            content(stream)
        stream.flush()
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        needed = len(content) if isinstance(content, bytes) else os.fstat(stream.fileno()).st_size
        with contextlib.suppress(OSError):
            stream.close()  # its buffer cannot be written either; said once is enough
        raise _disk_full(path, needed) from error


def _disk_full(path: Path, needed: int) -> QuaintError:
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    what = f"disk full or file too large: {f'at least {needed} bytes needed, ' if needed else ''}{free} bytes free"
    return QuaintError(
        "QI603", what, where=str(path), hint="free some space or write elsewhere; earlier files are intact"
    )


def _clean(folder: Path) -> None:
    """Undo what a run left unfinished in ``folder``; only under its lock."""
    _roll_back(folder)
    if (folder / STAGING).exists():
        shutil.rmtree(folder / STAGING)


def _roll_back(folder: Path) -> None:
    """Restore the files that an unfinished commit moved; may itself be interrupted and repeated."""
    staging = folder / STAGING
    if not (staging / JOURNAL).exists():
        return
    for name, existed in json.loads((staging / JOURNAL).read_bytes()).items():
        target, old, new = (parent / _inside(name) for parent in (folder, staging / "old", staging / "new"))
        if os.path.lexists(old):
            old.replace(target)
        elif not existed and not os.path.lexists(new):
            target.unlink(missing_ok=True)
    (staging / JOURNAL).unlink()


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """``folder`` and its parents exist inside the block; afterwards those made for it go again where they are empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for path in missing:
                path.rmdir()


@contextlib.contextmanager
def _unwritable_is_qi602(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise _disk_full(path, 0) from error
        what = f"cannot be written: {error.strerror or error}"
        raise QuaintError(
            "QI602", what, where=str(path), hint="give another output, or change its permissions"
        ) from error


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def _sync(path: Path) -> None:
    """To the disk, and not just to its cache: what is renamed before may be empty after a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
