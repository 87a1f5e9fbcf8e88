"""``quaint new-target``: what it writes, and what it refuses."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from quaint.cli.group import quaint
from quaint.cli.new_target import render
from quaint.plugins import registry

if TYPE_CHECKING:
    from click.testing import Result

ROOT = Path(__file__).parents[2]
FILES = [
    "README.md",
    "pyproject.toml",
    "src/quaint_house_finch/__init__.py",
    "src/quaint_house_finch/target.py",
    "tests/test_house_finch.py",
]


def invoke(*args: str | Path) -> Result:
    return CliRunner().invoke(quaint, ["new-target", *map(str, args)])


def test_files(tmp_path: Path) -> None:
    done = invoke("house-finch", "--output", tmp_path / "package", "--json")
    assert done.exit_code == 0, done.output
    found = sorted(str(file.relative_to(tmp_path / "package")) for file in tmp_path.rglob("*") if file.is_file())
    assert found == FILES
    result = json.loads(done.stdout)
    assert sorted(result["files"]) == FILES
    assert result["target"] == "house-finch"
    assert result["next"][0] == f"pip install -e {tmp_path / 'package'}"
    for file in tmp_path.rglob("*.py"):
        compile(file.read_text(), str(file), "exec")


def test_default_folder_and_next_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke("wagtail")
    assert done.exit_code == 0
    assert (tmp_path / "quaint-wagtail" / "pyproject.toml").is_file()
    assert "pip install -e quaint-wagtail, then quaint targets, then pytest quaint-wagtail" in done.stdout


def test_existing_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    done = invoke("wagtail", "--output", tmp_path / "package")
    assert done.exit_code == 8
    assert "error[QI600]: the folder exists already" in done.stderr
    assert not list((tmp_path / "package").iterdir())


@pytest.mark.parametrize(
    "name", ["Wagtail", "1bird", "", "wag_tail", "wag--tail", "-x", "x-", "../x", "a b", "é", "x" * 41]
)
def test_bad_name_is_refused(name: str, tmp_path: Path) -> None:
    done = invoke("--output", tmp_path / "package", "--", name)
    assert done.exit_code == 2
    assert "error[QU120]" in done.stderr
    assert not list(tmp_path.iterdir())


def test_taken_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from quaint.component import Lazy

    monkeypatch.setattr(registry(), "components", lambda _: [(Lazy("wren", "m:a", ""), "quaint-wren")])
    done = invoke("wren", "--output", tmp_path / "package")
    assert done.exit_code == 2
    assert "error[QU121]: target 'wren' exists already, in plugin 'quaint-wren'" in done.stderr


def test_code_is_short_and_documented() -> None:
    code = [text for path, text in render("finch").items() if path.endswith(".py")]
    for text in code:
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        assert all(ast.get_docstring(node) for node in ast.walk(ast.parse(text)) if isinstance(node, documented))
    assert sum(bool(line.strip()) for text in code for line in text.splitlines()) <= 70


def test_tutorial_shows_the_package_as_it_is_written() -> None:
    page = (ROOT / "docs" / "how-to" / "add-a-chip.md").read_text("utf-8")
    for path, text in render("finch").items():
        assert f"`{path}`" in page, path
        if path != "README.md":
            assert f"\n{text}```" in page, f"{path} differs from what quaint new-target writes"
