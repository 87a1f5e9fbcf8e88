"""Faults are real ones where a test can make them: file size limits, signals, kills, two processes."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pytest

from quaint import files
from quaint.errors import QuaintError
from quaint.files import OutputFolder, check_target, hash_file, save_npz, write_atomic

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

HEADER = """
import os, resource, signal, sys, time
from pathlib import Path
from quaint.errors import QuaintError
from quaint.files import OutputFolder, write_atomic
out = Path(sys.argv[1])
"""


def start(code: str, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HEADER + textwrap.dedent(code), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(code: str, out: Path) -> str:
    process = start(code, out)
    text, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return text


def listing(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(code: str, action: object) -> QuaintError:
    with pytest.raises(QuaintError) as caught:
        action()  # type: ignore[operator]
    assert caught.value.code == code
    return caught.value


def enter(folder: OutputFolder) -> None:
    with folder:
        pass


# -- a folder of files


def test_files_appear_together_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with OutputFolder(out) as folder:
        assert folder.write("report.json", b"{}") == out / "report.json"
        folder.write("tables/x.bin", lambda stream: stream.write(b"x"))
        folder.stage("model.onnx").write_bytes(b"model")
        assert not (out / "report.json").exists()
    assert listing(out) == {"report.json": b"{}", "tables/x.bin": b"x", "model.onnx": b"model"}
    assert sorted(path.name for path in out.iterdir()) == ["model.onnx", "report.json", "tables"]


def test_files_have_the_usual_permissions(tmp_path: Path) -> None:
    with OutputFolder(tmp_path) as folder:
        folder.write("x", b"")
    write_atomic(tmp_path / "y", b"")
    (tmp_path / "z").write_bytes(b"")
    modes = {(tmp_path / name).stat().st_mode for name in "xyz"}
    assert len(modes) == 1


def test_existing_files_are_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    (tmp_path / "other").write_bytes(b"kept")
    with OutputFolder(tmp_path) as folder:
        error = refused("QI600", lambda: folder.declare(["x", "y"]))
    assert "--force" in str(error)
    assert error.exit_code == 8
    with OutputFolder(tmp_path, force=True) as folder:
        folder.declare(["x", "y"])
        folder.write("x", b"new")
    assert listing(tmp_path) == {"x": b"new", "other": b"kept"}


def test_existing_files_are_refused_at_the_end_too(tmp_path: Path) -> None:
    def work() -> None:
        with OutputFolder(tmp_path) as folder:
            folder.declare(["x", "y"])
            folder.write("x", b"new")
            folder.write("y", b"new")
            (tmp_path / "y").write_bytes(b"somebody else's")

    refused("QI600", work)
    assert listing(tmp_path) == {"y": b"somebody else's"}


@pytest.mark.parametrize("link", ["itself", "symlink", "hardlink"])
def test_an_input_is_never_replaced(tmp_path: Path, link: str) -> None:
    model, target = tmp_path / "model.onnx", tmp_path / "out.onnx"
    model.write_bytes(b"model")
    if link == "itself":
        target = model
    else:
        (target.symlink_to if link == "symlink" else target.hardlink_to)(model)
    with OutputFolder(tmp_path, force=True, protect=[model]) as folder:
        refused("QI601", lambda: folder.declare([target.name]))
    refused("QI601", lambda: write_atomic(target, b"", force=True, protect=[model]))
    assert model.read_bytes() == b"model"


def test_the_folder_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"model")
    (tmp_path / "calib").mkdir()
    refused("QI601", lambda: enter(OutputFolder(tmp_path / "model.onnx", protect=[tmp_path / "model.onnx"])))
    error = refused("QI601", lambda: enter(OutputFolder(tmp_path / "calib" / "o", protect=[tmp_path / "calib"])))
    assert "go into" in str(error)
    assert not (tmp_path / "calib" / "o").exists()


@pytest.mark.parametrize("path", ["file/out", "file", "n" * 300, "file/a/b/c"])
def test_a_folder_that_cannot_be_written_is_found_on_entry(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    refused("QI602", lambda: enter(OutputFolder(tmp_path / path)))
    refused("QI602", lambda: enter(OutputFolder("/proc/quaint/out")))


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_a_read_only_folder_is_found_on_entry(tmp_path: Path) -> None:
    code = """
    import fcntl, shutil, tempfile  # before the change of user, who may not see the library
    parent = Path(tempfile.mkdtemp())
    (parent / "out").mkdir()
    parent.chmod(0o755)
    (parent / "out").chmod(0o555)
    if os.geteuid() == 0:  # root may write anywhere
        os.seteuid(65534)
    for target in (parent / "out", parent / "out" / "deeper"):
        try:
            with OutputFolder(target):
                print("entered")
        except QuaintError as error:
            print(error.code)
    try:
        write_atomic(parent / "out" / "x.npz", b"")
    except QuaintError as error:
        print(error.code)
    os.seteuid(os.getuid())
    (parent / "out").chmod(0o755)
    shutil.rmtree(parent)
    """
    assert run(code, tmp_path).split() == ["QI602", "QI602", "QI602"]


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", ".quaint.lock", ".quaint-staging/x", ""])
def test_names_stay_inside(tmp_path: Path, name: str) -> None:
    with OutputFolder(tmp_path / "out") as folder, pytest.raises(ValueError, match="output file"):
        folder.stage(name)


def test_a_file_does_not_replace_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with OutputFolder(tmp_path, force=True) as folder:
        refused("QI602", lambda: folder.declare(["x"]))
    refused("QI602", lambda: write_atomic(tmp_path / "x", b"", force=True))
    refused("QI602", lambda: write_atomic("/dev/null", b"", force=True))


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), SystemExit(1)])
def test_after_an_exception_all_is_as_before(tmp_path: Path, error: BaseException) -> None:
    out = tmp_path / "out"

    def work() -> None:
        with OutputFolder(out, force=True) as folder:
            folder.write("x", b"new")
            raise error

    with pytest.raises(type(error)):
        work()
    assert not out.exists()
    out.mkdir()
    (out / "x").write_bytes(b"old")
    with pytest.raises(type(error)):
        work()
    assert [path.name for path in out.iterdir()] == ["x"]
    assert (out / "x").read_bytes() == b"old"


@pytest.mark.parametrize("steps", range(7))
def test_an_interrupted_commit_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    before = {"a": b"old a", "c": b"old c"}
    for name, data in before.items():
        (tmp_path / name).write_bytes(data)
    replace, left = Path.replace, steps

    def interrupted(path: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left == -1:
            raise KeyboardInterrupt
        return replace(path, target)

    def work() -> None:
        with OutputFolder(tmp_path, force=True) as folder:
            for name in ("a", "b", "c", "d/e"):
                folder.write(name, b"new")
            monkeypatch.setattr(Path, "replace", interrupted)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert listing(tmp_path) == before


def test_a_full_disk_leaves_earlier_files_intact(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    code = """
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    def stage(folder):
        folder.stage("x").write_bytes(bytes(1_000_000))
    def write(folder):
        folder.write("x", bytes(1_000_000))
    def stream(folder):
        folder.write("x", lambda file: [file.write(bytes(1000)) for _ in range(1000)])
    for work in (stage, write, stream):
        try:
            with OutputFolder(out, force=True) as folder:
                folder.write("small", b"fits")
                work(folder)
        except QuaintError as error:
            print(error)
    try:
        write_atomic(out / "x", bytes(1_000_000), force=True)
    except QuaintError as error:
        print(error)
    """
    lines = run(code, tmp_path).splitlines()
    assert len(lines) == 4
    for line in lines:
        assert line.startswith("error[QI603]")
        assert str(tmp_path / "x") in line
    assert "at least 1000000 bytes" in lines[1]
    assert listing(tmp_path) == {"x": b"old"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_kind_of_full_is_told(tmp_path: Path, number: int) -> None:
    def fail(_stream: IO[bytes]) -> None:
        raise OSError(number, os.strerror(number))

    refused("QI603", lambda: write_atomic(tmp_path / "x", fail))
    with OutputFolder(tmp_path) as folder:
        refused("QI603", lambda: folder.write("x", fail))
        (tmp_path / files.STAGING / "new" / "x").unlink()
    assert listing(tmp_path) == {}


def test_a_full_disk_is_foreseen(tmp_path: Path) -> None:
    with OutputFolder(tmp_path) as folder:
        assert "bytes needed" in str(refused("QI603", lambda: folder.declare(["x"], size=10**18)))


def test_the_second_of_two_runs_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = """
    with OutputFolder(out) as folder:
        print("in", flush=True)
        time.sleep(60)
    """
    first = start(code, out)
    try:
        assert first.stdout is not None
        first.stdout.readline()
        error = refused("QI610", lambda: enter(OutputFolder(out)))
        assert f"process {first.pid}" in str(error)
    finally:
        first.kill()
        first.communicate()
    assert (out / ".quaint.lock").exists()
    with OutputFolder(out) as folder:
        folder.write("x", b"")
    assert os.listdir(out) == ["x"]  # noqa: PTH208


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_a_signal_cleans_up(tmp_path: Path, number: int, status: int) -> None:
    out = tmp_path / "out"
    code = """
    with OutputFolder(out) as folder:
        folder.write("x", bytes(1000))
        print("in", flush=True)
        time.sleep(60)
    """
    process = start(code, out)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == status
    assert not out.exists()


def test_after_a_kill_at_any_time_files_are_old_or_new(tmp_path: Path) -> None:
    """Twenty processes rewrite a set of files for ever, and are killed; the next run finds and leaves a whole set."""
    code = """
    number = 0
    while True:
        number += 1
        with OutputFolder(out, force=True) as folder:
            for name in "abcdef":
                folder.write(name, str(number).encode() * 1000)
        if number == 1:
            print("in", flush=True)
    """
    for turn in range(20):
        process = start(code, tmp_path)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02 + 0.003 * turn)
        process.kill()
        process.communicate()
        enter(OutputFolder(tmp_path))
        found = listing(tmp_path)
        assert set(found) == set("abcdef")
        assert len(set(found.values())) == 1


def test_a_kill_in_mid_commit_is_undone_by_the_next_run(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"old")
    code = """
    move, left = Path.replace, int(os.environ["STEPS"])
    def replace(path, target):
        global left
        left -= 1
        if left == -1:
            os.kill(os.getpid(), signal.SIGKILL)
        return move(path, target)
    with OutputFolder(out, force=True) as folder:
        for name in "abc":
            folder.write(name, b"new")
        Path.replace = replace
    """
    for steps in range(5):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("STEPS", str(steps))
            process = start(code, tmp_path)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        enter(OutputFolder(tmp_path))
        assert listing(tmp_path) == {"b": b"old"}


# -- single files


def test_one_file_is_written_as_a_whole(tmp_path: Path) -> None:
    write_atomic(tmp_path / "x", b"one")
    refused("QI600", lambda: write_atomic(tmp_path / "x", b"two"))
    write_atomic(tmp_path / "x", lambda stream: stream.write(b"two"), force=True)
    assert listing(tmp_path) == {"x": b"two"}


def test_a_missing_folder_is_found_before_the_work(tmp_path: Path) -> None:
    refused("QI602", lambda: check_target(tmp_path / "missing" / "x"))
    check_target(tmp_path / "x")
    assert listing(tmp_path) == {}


def test_names_of_any_kind(tmp_path: Path) -> None:
    for name in ("ü ñ 漢字.npz", "n" * 255, "a\nb", "-x"):
        write_atomic(tmp_path / name, name.encode())
        assert (tmp_path / name).read_bytes() == name.encode()


def test_a_killed_write_leaves_the_old_file_and_the_next_takes_over(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    code = """
    def slow(stream):
        stream.write(bytes(100_000))
        stream.flush()
        print("in", flush=True)
        time.sleep(60)
    write_atomic(out / "x", slow, force=True)
    """
    process = start(code, tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    refused("QI610", lambda: write_atomic(tmp_path / "x", b"new", force=True))
    process.kill()
    process.communicate()
    assert (tmp_path / "x").read_bytes() == b"old"
    write_atomic(tmp_path / "x", b"new", force=True)
    assert listing(tmp_path) == {"x": b"new"}


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def fail(stream: IO[bytes]) -> None:
        stream.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "x", fail)
    assert listing(tmp_path) == {}


# -- hashes and archives


def test_hash(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert hash_file(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_archives_are_the_same_bytes_in_any_order_and_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays: dict[str, ArrayLike] = {"x": np.arange(6, dtype=np.int8).reshape(2, 3), "a/b": np.float32(1.5)}
    first, second = io.BytesIO(), io.BytesIO()
    save_npz(first, arrays)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(sys, "platform", "win32")
    save_npz(second, {name: arrays[name] for name in reversed(arrays)})
    assert first.getvalue() == second.getvalue()
    monkeypatch.undo()
    loaded = np.load(io.BytesIO(first.getvalue()))
    assert sorted(loaded.files) == ["a/b", "x"]
    np.testing.assert_array_equal(loaded["x"], arrays["x"])
    assert loaded["a/b"] == np.float32(1.5)
    assert zipfile.ZipFile(first).testzip() is None


def test_archives_hold_no_objects() -> None:
    with pytest.raises(ValueError, match="Object arrays"):
        save_npz(io.BytesIO(), {"x": np.array([None])})


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, quaint.files; sys.exit(bool({'numpy', 'onnx', 'zipfile'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
