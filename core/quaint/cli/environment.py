"""``quaint targets``, ``quaint plugins`` and ``quaint doctor``: what is installed, and whether it works."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version
from typing import TYPE_CHECKING, Any

import click

from quaint.cli.session import Session, json_option, pass_session
from quaint.errors import QuaintError
from quaint.plugins import HOOKS, registry

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@json_option
@pass_session
def targets(session: Session) -> None:
    """List the targets."""
    found = [
        {"name": component.name, "plugin": plugin, "summary": component.summary}
        for component, plugin in registry().components("quaint_targets")
    ]
    _warn_of_broken(session)
    session.give({"targets": found}, lambda: _columns([(t["name"], t["plugin"], t["summary"]) for t in found]))


@click.command()
@json_option
@pass_session
def plugins(session: Session) -> None:
    """List the plugins and what they offer."""
    found = [vars(info) for info in registry().plugins]

    def show() -> None:
        for info in registry().plugins:
            click.echo(f"{info.name} ({info.distribution} {info.version})")
            for hook, names in info.offers.items():
                click.echo(f"  {hook.removeprefix('quaint_')}: {', '.join(names)}")

    _warn_of_broken(session)
    session.give({"plugins": found}, show)


@click.command()
@json_option
@pass_session
def doctor(session: Session) -> None:
    """Check the installation: versions, extras, plugins that do not work, names that clash."""
    needed, extras = _requirements("quaint")
    document: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "quaint": _version("quaint"),
        "dependencies": {name: _version(name) for name in needed},
        "extras": {extra: {name: _version(name) for name in names} for extra, names in extras.items()},
        "broken": [*registry().broken, *_unloadable()],
        "clashes": registry().clashes,
    }
    missing = [f"{name} is not installed" for name, found in document["dependencies"].items() if found is None]
    wrong = [*missing, *document["broken"], *document["clashes"]]
    error = None
    if wrong:
        what = f"{len(wrong)} thing{'s' if len(wrong) > 1 else ''} wrong with this installation"
        error = QuaintError("QP540", what, details=wrong)
    session.give(document, lambda: _show_doctor(document, well=not wrong), error)


def _warn_of_broken(session: Session) -> None:
    for line in (*registry().broken, *registry().clashes):
        session.warn(line)


def _columns(rows: Sequence[Sequence[str]]) -> None:
    """Left-aligned columns; plain text, because a listing must not wait for a library."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _unloadable() -> list[str]:
    """A line for each component that cannot be loaded, for whatever reason."""
    lines = []
    for hook in HOOKS:
        for name in registry().names(hook):
            try:
                registry().get(hook, name)
            except QuaintError as error:
                if error.code != "QP522":  # a clash, which is told by itself
                    lines.append(error.what)
    return lines


def _requirements(distribution: str) -> tuple[list[str], dict[str, list[str]]]:
    """Distributions that it needs, and those of each extra, as its metadata says (PEP 508)."""
    needed: list[str] = []
    extras: dict[str, list[str]] = {}
    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:
        lines = []
    for line in lines:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", line)
        if name:
            (extras.setdefault(extra[1], []) if extra else needed).append(name[0])
    return needed, extras


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _show_doctor(document: dict[str, Any], *, well: bool) -> None:
    rows = [("python", document["python"]), ("quaint", document["quaint"] or "not installed")]
    rows += [(name, found or "missing") for name, found in document["dependencies"].items()]
    for extra, found in document["extras"].items():
        rows += [(f"{name} [{extra}]", number or "not installed") for name, number in found.items()]
    rows += [(info.name, f"{info.distribution} {info.version}") for info in registry().plugins if not info.error]
    _columns(rows)
    if well:
        click.echo("all is well")
