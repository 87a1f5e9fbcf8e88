"""What holds the parts together: sizes, names, and who may import whom."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core" / "quaint"
PLUGINS = sorted(path for path in (ROOT / "plugins").iterdir() if (path / "pyproject.toml").exists())
SOURCES = sorted([*CORE.rglob("*.py"), *(file for plugin in PLUGINS for file in (plugin / "src").rglob("*.py"))])

MODULE_LINES = 300
FUNCTION_LINES = 40

VENDORS = (
    "akida",
    "brainchip",
    "akd1000",
    "akd1500",
    "quantizeml",
    "esp32",
    "espdl",
    "esp-dl",
    "espressif",
    "esp[-_]ppq",
)

#: Modules that know nothing of the rest, and what each of the others above them may know.
GROUND = {"errors", "component", "hookspecs", "numerics", "graph", "suggest", "locks"}
MAY_IMPORT = {
    **{name: set() for name in GROUND},
    "locks": {"errors"},
    "builtin": {"component", "hookspecs"},
    "integer": {"numerics", "arithmetic"},
    "arithmetic": {"numerics"},
    "target": {"numerics"},
    "config": {"errors", "suggest"},
    "plugins": {"builtin", "component", "errors", "hookspecs", "suggest"},
    "patterns": {"graph", "numerics", "integer", "target"},
    "files": {"errors", "locks", "output_checks"},
}
#: Rooms that are reached by name, through the hooks: the rest of core imports them inside functions, if at all.
BY_NAME = {"simulators", "frontends", "observers", "testing", "cli"}

#: The stages of the road, and what joins them: no stage knows of a joint.
STAGES = {
    *("frontends", "canonicalize", "partition", "samples", "observers", "calibrate", "specs", "quantizers", "lower"),
    *("layers", "simulators", "patterns", "integer", "target"),
}
JOINTS = {"pipeline", "quantized", "saved", "comparison", "mixed_precision", "verification", "report", "testing", "cli"}


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def named(file: Path) -> str:
    return str(file.relative_to(ROOT))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def top_level(statements: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports that run when the module is imported."""
    for node in statements:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If | ast.Try) and not is_type_checking(node):
            yield from top_level([*node.body, *node.orelse])


@cache
def modules() -> dict[str, Path]:
    """Every module of core and of the plugins by its dotted name."""
    roots = [CORE.parent, *(plugin / "src" for plugin in PLUGINS)]
    found = {}
    for root in roots:
        for file in (file for file in SOURCES if file.is_relative_to(root)):
            parts = file.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The modules of ours that an import names."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        base = node.module or ""
        names = [f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules() else base for alias in node.names]
    yield from (name for name in names if name in modules())


@cache
def edges() -> dict[str, dict[str, int]]:
    """Module -> module that it imports at its top level -> line."""
    return {
        name: {target: node.lineno for node in top_level(parsed(file).body) for target in imported(node)}
        for name, file in modules().items()
    }


def room(module: str) -> str:
    """``quaint.simulators.exact`` -> ``simulators``; the package itself is ``quaint``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def test_core_names_no_chip_and_no_vendor() -> None:
    pattern = re.compile("|".join(VENDORS), re.IGNORECASE)
    texts = [file for file in sorted(CORE.rglob("*")) if file.suffix in {".py", ".jinja", ".html", ".css", ".svg"}]
    found = [
        f"{named(file)}:{number}: {line.strip()}"
        for file in texts
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)


def test_no_branches_on_the_name_of_a_target() -> None:
    pattern = re.compile(r"""target(\.name)?\s*(==|!=|in)\s*[("'{\[]""")
    found = [named(file) for file in CORE.rglob("*.py") if pattern.search(file.read_text("utf-8"))]
    assert not found, "\n".join(found)


def test_modules_are_short() -> None:
    long = {named(file): len(file.read_text("utf-8").splitlines()) for file in SOURCES}
    long = {name: lines for name, lines in long.items() if lines > MODULE_LINES}
    assert not long, "\n".join(f"{name}: {lines} lines" for name, lines in long.items())


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its signature and its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_functions_are_short() -> None:
    long = [
        f"{named(file)}:{function.lineno}: {function.name} has {body_lines(function)} lines"
        for file in SOURCES
        for function in ast.walk(parsed(file))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(function) > FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def test_core_imports_no_plugin() -> None:
    """Not even inside a function or for a type checker."""
    plugins = {room_.name for plugin in PLUGINS for room_ in (plugin / "src").iterdir()}
    found = [
        f"{named(file)}:{node.lineno}"
        for file in CORE.rglob("*.py")
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        if name.partition(".")[0] in plugins
    ]
    assert not found, "\n".join(found)


def test_plugins_import_no_other_plugin() -> None:
    found = [
        f"{named(modules()[source])}:{line}: {source} imports {target}"
        for source, targets in edges().items()
        for target, line in targets.items()
        if target.partition(".")[0] not in {"quaint", source.partition(".")[0]}
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("ground", sorted(MAY_IMPORT))
def test_low_modules_know_nothing_of_the_rest(ground: str) -> None:
    allowed = {f"quaint.{name}" for name in MAY_IMPORT[ground]} | {"quaint"}
    source = f"quaint.{ground}"
    found = {target: line for target, line in edges()[source].items() if target not in allowed}
    assert not found, "\n".join(
        f"{named(modules()[source])}:{line}: imports {target}" for target, line in found.items()
    )


def test_rooms_are_reached_by_name() -> None:
    """At their top level other modules of core import nothing of them; ``python -m quaint`` is the command line itself."""
    found = [
        f"{named(modules()[source])}:{line}: {source} imports {target}"
        for source, targets in edges().items()
        if source.partition(".")[0] == "quaint" and source != "quaint.__main__"
        for target, line in targets.items()
        if room(target) in BY_NAME and room(target) != room(source)
    ]
    assert not found, "\n".join(found)


def test_stages_know_nothing_of_what_joins_them() -> None:
    found = [
        f"{named(modules()[source])}:{line}: {source} imports {target}"
        for source, targets in edges().items()
        if source.startswith("quaint.") and room(source) in STAGES
        for target, line in targets.items()
        if room(target) in JOINTS
    ]
    assert not found, "\n".join(found)


def test_imports_have_no_cycle() -> None:
    """No module is imported, at top level, by one that it imports itself."""
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a cycle: {' -> '.join([*path[path.index(module) :], module])}"
        if module not in done:
            for target in edges()[module]:
                visit(target, (*path, module))
            done.add(module)

    for module in edges():
        visit(module, ())


def test_versions_agree() -> None:
    files = [ROOT / "pyproject.toml", *(plugin / "pyproject.toml" for plugin in PLUGINS)]
    projects = {named(file): tomllib.loads(file.read_text("utf-8"))["project"] for file in files}
    version = projects["pyproject.toml"]["version"]
    assert {project["version"] for project in projects.values()} == {version}, "versions differ"
    for name, project in projects.items():
        pins = [need for need in project["dependencies"] if re.match(r"quaint\b(?!-)", need)]
        assert pins == ([] if name == "pyproject.toml" else [f"quaint=={version}"]), f"{name} needs {pins}"


def test_no_marks_of_unfinished_work() -> None:
    marks = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")) + r")\b")
    files = [
        *SOURCES,
        *(file for folder in ("tests", "examples", "benchmarks") for file in (ROOT / folder).rglob("*.py")),
    ]
    files += (ROOT / "docs").rglob("*.md")
    found = [
        f"{named(file)}:{number}"
        for file in files
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if marks.search(line)
    ]
    assert not found, "\n".join(found)
