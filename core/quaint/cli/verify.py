"""``quaint verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from quaint.cli.options import PATH
from quaint.cli.session import Session, json_option, pass_session
from quaint.errors import QuaintError

if TYPE_CHECKING:
    from pathlib import Path

    from quaint.verification import Finding


@click.command()
@click.argument("path", type=PATH, metavar="DIR|FILE")
@json_option
@pass_session
def verify(session: Session, path: Path) -> None:
    """Re-read what was exported and run its vectors.

    DIR is a folder that quaint quantize --output wrote: every file must be the one of the manifest, the saved model must give
    the golden vectors, and the chip's file its own test vectors and, tensor by tensor, the integers of the saved model. FILE is
    a saved model or a chip's file that a plugin reads. Exit code 6 says that something is not right.
    """
    from quaint.verification import verify as verify_path

    found = verify_path(path)
    document = {"verified": all(finding.problem is None for finding in found), "files": [*map(_as_data, found)]}
    problems = [finding.problem for finding in found if finding.problem is not None]
    error = None
    if problems:
        what = f"{len(problems)} of {len(found)} files are not right"
        details = [f"{finding.file}: {finding.problem}" for finding in found if finding.problem]
        error = QuaintError(problems[0].code, what, where=str(path), details=details)
    session.give(document, lambda: _show(found), error)


def _as_data(finding: Finding) -> dict[str, object]:
    problem = finding.problem
    what = None if problem is None else {"code": problem.code, "message": problem.what, "details": [*problem.details]}
    return {"file": finding.file, "checks": list(finding.checks), "problem": what}


def _show(found: tuple[Finding, ...]) -> None:
    from quaint.cli.console import print_lines

    for finding in found:
        state = "ok" if finding.problem is None else "wrong"
        checks = ", ".join(finding.checks)
        print_lines(f"{state} {finding.file}{f': {checks}' if checks else ''}")
