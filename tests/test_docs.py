"""What the documentation says is so: blocks run, outputs and tables are up to date, links lead somewhere, lists are whole."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import quaint
from quaint.config import LAYER_KEYS
from quaint.errors import QuaintError
from quaint.plugins import HOOKS, registry

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SOURCES = [*(ROOT / "core").rglob("*.py"), *(ROOT / "plugins").glob("*/src/**/*.py")]
LINKING = [*ROOT.glob("*.md"), *sorted(DOCS.rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
CODE = re.compile(r"Q[MCTVPIU]\d{3}")


@functools.cache
def regenerate() -> Any:
    """``docs/regenerate.py`` as a module."""
    spec = importlib.util.spec_from_file_location("regenerate", DOCS / "regenerate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pages() -> list[Path]:
    return regenerate().pages()


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def squeezed(text: str) -> list[str]:
    """Lines without what differs from machine to machine and from run to run: numbers, rules and widths of columns."""
    text = re.sub(r"^[\d.]+ s\b.*$", "", text, flags=re.MULTILINE)  # seconds of the stages that took longest
    text = re.sub(r"[-+]?\d[\d.,]*(e[-+]\d+)?|─+", "#", text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("path", pages(), ids=named)
def test_blocks_run_and_outputs_are_up_to_date(path: Path) -> None:
    with regenerate().workspace(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other people's packages while they are imported
        renewed = regenerate().Page(path).renewed()
    assert squeezed(renewed) == squeezed(path.read_text("utf-8")), "run python docs/regenerate.py"


@pytest.mark.parametrize("path", LINKING, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text)
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not missing, f"{named(path)} links to {missing}"


@pytest.mark.parametrize("path", [DOCS / "explanation" / "bit-exactness.md", DOCS / "design.md"], ids=named)
def test_named_files_exist(path: Path) -> None:
    found = re.findall(r"`((?:core|docs|examples|plugins|tests)/[\w./-]+\.\w+)`", path.read_text("utf-8"))
    missing = [name for name in found if not (ROOT / name).exists()]
    assert not missing, f"{named(path)} names {missing}"


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text("utf-8").splitlines()
    found = {str(page.relative_to(DOCS).with_suffix("")) for page in DOCS.rglob("*.md")} - {"index"}
    assert found <= set(index), f"not in docs/index.md: {found - set(index)}"


def test_help_of_every_command_is_there() -> None:
    text = (DOCS / "reference" / "cli.md").read_text("utf-8")
    shown = set(re.findall(r"<!-- generated: help ([\w-]+) -->", text))
    assert shown == set(registry().names("quaint_commands"))


def test_help_texts_are_exact() -> None:
    path = DOCS / "reference" / "cli.md"
    assert regenerate().Page(path).renewed() == path.read_text("utf-8"), "run python docs/regenerate.py"


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook: str) -> None:
    assert f"## {hook}\n" in (DOCS / "reference" / "hooks.md").read_text("utf-8")


def test_every_key_of_the_configuration_is_documented() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (DOCS / "reference" / "config.md").read_text("utf-8"), re.MULTILINE)
    assert [row for row in rows if row not in registry().names("quaint_targets")] == [
        field.name for field in dataclasses.fields(quaint.Config)
    ]


@pytest.mark.parametrize("key", LAYER_KEYS)
def test_every_wish_for_a_layer_is_documented(key: str) -> None:
    for page in ("reference/config.md", "how-to/mixed-precision.md"):
        assert f"`{key}`" in (DOCS / page).read_text("utf-8")


@pytest.mark.parametrize("name", quaint.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    text = (DOCS / "reference" / "python.md").read_text("utf-8")
    assert f"`quaint.{name}`" in text


@pytest.mark.parametrize("hook", ["quaint_observers", "quaint_quantizers"])
def test_every_observer_and_quantizer_of_core_is_explained(hook: str) -> None:
    text = (DOCS / "reference" / "observers.md").read_text("utf-8")
    for component, plugin in registry().components(hook):
        if plugin == "core":
            assert text.count(f"`{component.name}`") > 1, f"{component.name} is only listed"


def test_targets_have_a_section() -> None:
    headings = re.findall(r"^## .*$", (DOCS / "reference" / "targets.md").read_text("utf-8"), re.MULTILINE)
    for name in registry().names("quaint_targets"):
        assert any(name in heading for heading in headings), name


def literals(file: Path) -> set[str]:
    """Codes that stand in the source as strings of their own."""
    values = (node.value for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Constant))
    return {value for value in values if isinstance(value, str) and CODE.fullmatch(value)}


def test_errors_are_listed_with_their_exit_codes() -> None:
    text = (DOCS / "reference" / "errors.md").read_text("utf-8")
    listed = dict(re.findall(r"^\| (Q\w\d{3}) \| (\d) \|", text, re.MULTILINE))
    used = set[str]().union(*map(literals, SOURCES))
    assert set(listed) == used, f"not listed: {sorted(used - set(listed))}; not used: {sorted(set(listed) - used)}"
    wrong = {code: exit_ for code, exit_ in listed.items() if int(exit_) != QuaintError(code, "").exit_code}
    assert not wrong, f"other exit codes: {wrong}"


def test_warnings_are_listed() -> None:
    text = (DOCS / "reference" / "errors.md").read_text("utf-8")
    listed = set(re.findall(r"^\| (Q\w\d{3}) \| [^\d]", text, re.MULTILINE))
    used = {code for file in SOURCES for code in re.findall(r'f?"(Q\w\d{3}): ', file.read_text("utf-8"))}
    assert listed == used


def test_docstrings_name_documented_codes_only() -> None:
    text = (DOCS / "reference" / "errors.md").read_text("utf-8")
    for file in SOURCES:
        unknown = set(CODE.findall(file.read_text("utf-8"))) - set(CODE.findall(text))
        assert not unknown, f"{named(file)} names {sorted(unknown)}"


def test_picture_is_readable_in_light_and_dark() -> None:
    text = (DOCS / "images" / "flow.svg").read_text("utf-8")
    assert ET.fromstring(text).tag.endswith("svg")
    assert "prefers-color-scheme: dark" in text


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 150


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_readme_shows_what_make_demo_runs() -> None:
    text = (ROOT / "README.md").read_text("utf-8").replace("\\\n", " ")
    shown = next(line.split()[1:] for line in text.splitlines() if line.startswith("$ quaint compare"))
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "demo"], check=True, capture_output=True, text=True, cwd=ROOT
    )
    command = done.stdout.replace("\\\n", " ").strip().splitlines()[-1].split()
    assert command == [f".venv/bin/{shown[0]}", *shown[1:]]


def test_example_runs(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "quantize_digits.py"), "--output", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert {"esp32p4", "akida1"} <= {line.split()[0] for line in done.stdout.splitlines()}
    assert (tmp_path / "esp32p4" / "digits.esp32p4.espdl").exists()


@pytest.mark.parametrize(
    ("script", "needed"), [("from_onnx", "numpy"), ("from_pytorch", "torch"), ("from_keras", "keras")]
)
def test_example_for_a_chip_runs(script: str, needed: str, tmp_path: Path) -> None:
    pytest.importorskip(needed)
    command = [sys.executable, str(ROOT / "examples" / "espdl" / f"{script}.py"), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*.espdl"))) == 1
