"""The group: what it imports, and how every kind of error ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from quaint.cli.group import guarded, quaint
from quaint.cli.session import Session
from quaint.errors import QuaintError, QuaintWarning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

HEAVY = ("PIL", "jinja2", "numpy", "onnx", "onnx_ir", "onnxruntime", "onnxscript", "rich", "tensorflow", "torch")
LISTING = """
import sys
from quaint.cli import main
try:
    main()
except SystemExit as error:
    print("exit", error.code)
print("heavy:", *sorted(set(sys.modules) & set(%r)))
"""
SLOW = """
import time
from pathlib import Path
from quaint.component import Lazy
from quaint.hookspecs import impl


class Slow:
    def __init__(self, **_):
        Path("started").touch()
        time.sleep(60)


@impl
def quaint_observers():
    yield Lazy("slow", "quaint_slow:Slow", "sleeps")
"""


def python(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, check=False, timeout=60, **options)


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["--version"],
        ["targets"],
        ["targets", "--json"],
        ["plugins"],
        ["quantize", "--help"],
        ["compare", "--help"],
        ["quantize", "model.onnx", "--target", "demo9"],
    ],
)
@pytest.mark.usefixtures("plugins")
def test_what_needs_no_model_imports_nothing_heavy(args: list[str]) -> None:
    done = python("-c", LISTING % (HEAVY,), *args)
    assert done.stdout.endswith("heavy:\n"), done.stdout + done.stderr
    assert ("exit 2" if "demo9" in args else "exit 0") in done.stdout


def test_help_lists_every_command_with_its_summary(run: Callable[..., Result]) -> None:
    text = run("--help").stdout
    assert re.search(r"^  quantize +Quantize a model for a target\.$", text, re.MULTILINE)
    assert text.index("check ") < text.index("targets ")


def test_unknown_command_and_option_suggest_the_nearest(run: Callable[..., Result]) -> None:
    assert "did you mean 'quantize'?" in run("quantise", code=2).stderr
    assert "--target" in run("quantize", "m.onnx", "--tagret", "demo8", code=2).stderr


def test_unknown_target_lists_the_known_ones(run: Callable[..., Result]) -> None:
    result = run("quantize", "m.onnx", "--target", "demo9", code=2)
    assert result.stderr.startswith("error[QT300]: unknown target 'demo9', did you mean 'demo8'?")
    assert result.stdout == ""


@pytest.mark.parametrize("code", ["QM104", "QC210", "QT310", "QV401", "QP520", "QI600", "QU101"])
def test_a_refusal_is_one_line_and_its_details(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise QuaintError(code, "wrong", where="here", hint="try that", details=["one", "two\x1b[31m"])

    with pytest.raises(SystemExit) as ended:
        guarded(Session(), refuse)
    said = capsys.readouterr()
    assert said.err == f"error[{code}]: wrong, in here, try that\n  one\n  two\N{REPLACEMENT CHARACTER}[31m\n"
    assert said.out == ""
    assert ended.value.code == {"M": 3, "C": 4, "T": 5, "V": 6, "P": 7, "I": 8, "U": 2}[code[1]]


def test_a_refusal_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise QuaintError("QT310", "cannot run it", details=["conv1: why"])

    with pytest.raises(SystemExit):
        guarded(Session(json=True), refuse)
    document = json.loads(capsys.readouterr().out)
    assert document["error"] == {"code": "QT310", "message": "cannot run it", "details": ["conv1: why"]}


def test_wrong_usage_as_json(run_json: Callable[..., dict[str, Any]]) -> None:
    document = run_json("quantize", "m.onnx", code=2)
    assert document["error"]["code"] == "QU100"
    assert "--target" in document["error"]["message"]


def test_a_bug_shows_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        guarded(Session(json=True), lambda: 1 / 0)
    said = capsys.readouterr()
    assert ended.value.code == 1
    assert "Traceback" in said.err
    assert "this is a bug" in said.err
    assert json.loads(said.out)["error"]["code"] == "bug"


def test_end_of_file_is_a_bug_and_no_abort(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def read() -> None:
        raise EOFError("no data left")

    with pytest.raises(SystemExit) as ended:
        guarded(Session(), lambda: read.callback and read.callback())
    assert ended.value.code == 1
    assert "EOFError: no data left" in capsys.readouterr().err


def test_no_memory_is_told_with_what_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    def fill() -> None:
        raise MemoryError

    with pytest.raises(SystemExit) as ended:
        guarded(Session(), fill)
    assert ended.value.code == 4
    assert "error[QC250]: not enough memory, try a smaller --batch-size" in capsys.readouterr().err


def test_ctrl_c_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        guarded(Session(), interrupt)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_goes_away_is_left_to_click() -> None:
    def write() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        guarded(Session(), write)


def test_a_command_that_cannot_be_imported_stops_only_itself(
    add_plugin: Callable[[str, str], None], run: Callable[..., Result]
) -> None:
    source = (
        "from quaint.component import Lazy\nfrom quaint.hookspecs import impl\n"
        "@impl\ndef quaint_commands():\n    yield Lazy('broken', 'quaint_nowhere:command', 'never')\n"
    )
    add_plugin("broken", source)
    assert "broken" in run("--help").stdout
    assert "error[QP520]" in run("broken", code=7).stderr


def test_warnings_become_lines_once() -> None:
    @click.command()
    def warn() -> None:
        for _ in range(2):
            warnings.warn("few samples\x07", QuaintWarning, stacklevel=1)

    session = Session()
    with session.warnings_shown():
        result = CliRunner().invoke(warn)
    assert session.warnings == ["few samples\N{REPLACEMENT CHARACTER}"]
    assert result.stderr == "warning: few samples\N{REPLACEMENT CHARACTER}\n"


def test_other_warnings_are_left_alone() -> None:
    session = Session()
    with pytest.warns(UserWarning, match="other"), session.warnings_shown():
        warnings.warn("other", UserWarning, stacklevel=1)
    assert not session.warnings


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_while_calibrating_nothing_is_written(
    number: signal.Signals, code: int, add_plugin: Callable[[str, str], None], digits: Path, tmp_path: Path
) -> None:
    add_plugin("slow", SLOW)
    args = ["quantize", str(digits / "digits.onnx"), "--target", "demo8", "--observer", "slow", "--output", "out"]
    command = [sys.executable, "-m", "quaint", *args]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        limit = time.monotonic() + 30
        while not (tmp_path / "started").exists() and time.monotonic() < limit and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert out == ""
    assert not (tmp_path / "out").exists()


def test_python_m_quaint() -> None:
    assert python("-m", "quaint", "--help").stdout == CliRunner().invoke(quaint, ["--help"], prog_name="quaint").stdout
