"""``quaint new-target``: a package for a chip of one's own, complete and passing its tests as written."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quaint.cli.session import json_option, pass_session
from quaint.errors import QuaintError
from quaint.files import OutputFolder
from quaint.plugins import registry

if TYPE_CHECKING:
    from quaint.cli.session import Session

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST_NAME = 40

#: Template -> path of the file in the package; names in braces are those of ``words``.
FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "__init__.py": "src/{module}/__init__.py",
    "target.py": "src/{module}/target.py",
    "test.py": "tests/test_{underscored}.py",
}


@click.command("new-target")
@click.argument("name")
@click.option(
    "--output", type=click.Path(path_type=Path), metavar="DIR", help="The new folder; quaint-NAME if not given."
)
@json_option
@pass_session
def new_target(session: Session, name: str, output: Path | None) -> None:
    """Write a package for a chip of your own: hook, target and test, ready to install."""
    check_name(name)
    folder = output or Path(f"quaint-{name}")
    if folder.exists():
        raise QuaintError("QI600", "the folder exists already", where=str(folder), hint="give another with --output")
    files = render(name)
    with OutputFolder(folder) as out:
        for path, text in files.items():
            out.write(path, text.encode())
    steps = [f"pip install -e {folder}", "quaint targets", f"pytest {folder}"]
    result = {"target": name, "folder": str(folder), "files": list(files), "next": steps}

    def show() -> None:
        click.echo("\n".join(f"wrote {folder / path}" for path in files))
        click.echo(f"next: {', then '.join(steps)}; then write your chip's numbers into {list(files)[3]}")

    session.give(result, show)


def check_name(name: str) -> None:
    """A target's name: lower case letters, digits and single dashes, and not taken.

    Raises:
        QuaintError: QU120 for another name, QU121 for one that an installed plugin offers.
    """
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        hint = f"take lower case letters, digits and single dashes, a letter first, {LONGEST_NAME} at the most"
        raise QuaintError("QU120", f"{name!r} is no name for a target", hint=hint)
    for component, plugin in registry().components("quaint_targets"):
        if component.name == name:
            raise QuaintError(
                "QU121", f"target {name!r} exists already, in plugin {plugin!r}", hint="take another name"
            )


def words(name: str) -> dict[str, str]:
    """The forms of a target's name: ``my-chip`` -> ``my_chip``, ``quaint_my_chip``, ``My Chip``."""
    underscored = name.replace("-", "_")
    return {
        "name": name,
        "underscored": underscored,
        "module": f"quaint_{underscored}",
        "title": name.replace("-", " ").title(),
    }


def render(name: str) -> dict[str, str]:
    """The files of the package: path -> text."""
    import jinja2

    given = words(name)
    folder = resources.files("quaint") / "templates" / "new_target"
    # The files are code and not HTML; the only thing that is filled in is a checked name.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    texts = {template: (folder / f"{template}.jinja").read_text("utf-8") for template in FILES}
    return {
        path.format(**given): environment.from_string(texts[template]).render(given) for template, path in FILES.items()
    }
