"""What is written appears as a whole or not at all, and nothing that was there before is lost."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

FILES, INTERRUPTED = 8, 130
QUICK = ("--num-samples", 8, "--target", "onnx-qdq")
SECONDS_TO_START = 60.0
OWN_SIGINT = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


@pytest.fixture
def call(digits: Path) -> tuple[object, ...]:
    return ("quantize", digits / "digits.onnx", "--samples", digits / "calibration.npz", *QUICK)


@pytest.fixture
def earlier(run_cli: Callable[..., Any], call: tuple[object, ...], tmp_path: Path) -> Path:
    """A folder with the files of an earlier run and one of the user's."""
    run_cli(*call, "--output", tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    return tmp_path / "out"


def test_what_is_written(contents: Callable[[Path], dict[str, str]], earlier: Path) -> None:
    assert set(contents(earlier)) == {
        "digits.onnx-qdq.onnx", "digits.qdq.onnx", "manifest.json", "notes.txt", "report.html", "report.json",
    }  # fmt: skip


def test_nothing_is_replaced_without_being_told(
    contents: Callable[[Path], dict[str, str]],
    refused: Callable[..., str],
    run_cli: Callable[..., Any],
    call: tuple[object, ...],
    earlier: Path,
) -> None:
    said = refused(*call, "--output", earlier, exit_code=FILES, code="QI600")
    assert "--force" in said
    before = contents(earlier)
    run_cli(*call, "--num-samples", 9, "--output", earlier, "--force")
    after = contents(earlier)
    assert after.keys() == before.keys()
    assert after["notes.txt"] == before["notes.txt"]
    assert after["manifest.json"] != before["manifest.json"]


def test_a_file_where_the_folder_should_be(
    refused: Callable[..., str], call: tuple[object, ...], tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("mine")
    for output in (tmp_path / "taken", tmp_path / "taken" / "below"):
        assert "taken" in refused(*call, "--output", output, "--force", exit_code=FILES, code="QI602")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc here")
def test_a_folder_that_nobody_may_write_to(refused: Callable[..., str], call: tuple[object, ...]) -> None:
    assert "/proc/quaint" in refused(*call, "--output", "/proc/quaint", exit_code=FILES, code="QI602")


def test_inputs_are_never_replaced(
    refused: Callable[..., str], write: Callable[..., Path], digits: Path, earlier: Path, tmp_path: Path
) -> None:
    """Neither by name nor through a link, whatever ``--force`` says."""
    config = write("build/report.json", b'{"weight_bits": 8}')
    model, samples = write("digits.onnx", (digits / "digits.onnx").read_bytes()), digits / "calibration.npz"
    start = ("quantize", model, "--samples", samples, *QUICK)
    refused(*start, "--config", config, "--output", config.parent, "--force", exit_code=FILES, code="QI601")
    (tmp_path / "linked").mkdir()
    os.link(model, tmp_path / "linked" / "digits.qdq.onnx")
    refused(*start, "--output", tmp_path / "linked", "--force", exit_code=FILES, code="QI601")
    saved = earlier / "digits.onnx-qdq.onnx"
    refused("run", saved, "--samples", samples, "--output", saved, "--force", exit_code=FILES, code="QI601")
    refused("config", saved, "--output", saved, "--force", exit_code=FILES, code="QI601")


def test_disk_full(
    contents: Callable[[Path], dict[str, str]],
    start_cli: Callable[..., Any],
    call: tuple[object, ...],
    earlier: Path,
    tmp_path: Path,
) -> None:
    """The earlier files stay as they were; a new folder is not left behind."""
    before = contents(earlier)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))"
    for output in (earlier, tmp_path / "new" / "folder"):
        process = start_cli(*call, "--num-samples", 16, "--output", output, "--force", before=limit)
        _, err = process.communicate(timeout=120)
        assert process.returncode == FILES, err
        assert err.startswith("error[QI603]: ") or "\nerror[QI603]: " in err
        assert "Traceback" not in err
    assert contents(earlier) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("again", [False, True], ids=["new folder", "over earlier files"])
def test_interrupted(
    contents: Callable[[Path], dict[str, str]],
    start_cli: Callable[..., subprocess.Popen[str]],
    call: tuple[object, ...],
    earlier: Path,
    tmp_path: Path,
    number: signal.Signals,
    again: bool,
) -> None:
    """Ctrl-C goes to the whole group of processes; nothing half-written stays, and no folder for it."""
    output = earlier if again else tmp_path / "new" / "folder"
    before = contents(tmp_path)
    slow = ("--epochs", 100_000, "--output", output, "--force")
    process = start_cli(*call, *slow, before=OWN_SIGINT, start_new_session=True)
    end = time.monotonic() + SECONDS_TO_START
    while not (output / ".quaint-staging").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(1.0)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == (INTERRUPTED if number == signal.SIGINT else 128 + signal.SIGTERM), err
    assert "Traceback" not in err
    assert not out
    assert contents(tmp_path) == before


def test_two_runs_at_once(
    start_cli: Callable[..., subprocess.Popen[str]],
    run_cli: Callable[..., Any],
    call: tuple[object, ...],
    earlier: Path,
) -> None:
    """The second says who is at work there; the first goes on."""
    process = start_cli(*call, "--epochs", 100_000, "--output", earlier, "--force", before=OWN_SIGINT)
    end = time.monotonic() + SECONDS_TO_START
    while not (earlier / ".quaint-staging").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    said = run_cli(*call, "--output", earlier, "--force", code=FILES)
    assert said.err.startswith("error[QI610]: ")
    assert str(process.pid) in said.err
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=60)
