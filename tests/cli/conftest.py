"""What the tests of the command line share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from quaint.cli.group import quaint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def run(plugins: Path) -> Callable[..., Result]:  # noqa: ARG001 - with the demo plugin installed
    """Call the command line in this process; the exit code must be ``code``."""

    def call(*args: object, code: int = 0) -> Result:
        result = CliRunner().invoke(quaint, [str(arg) for arg in args], env={"COLUMNS": "100"})
        assert result.exit_code == code, result.output
        return result

    return call


@pytest.fixture
def run_json(run: Callable[..., Result]) -> Callable[..., dict[str, Any]]:
    """The same with ``--json``: the document on standard output."""

    def call(*args: object, code: int = 0) -> dict[str, Any]:
        document = json.loads(run(*args, "--json", code=code).stdout)
        assert isinstance(document, dict)
        return document

    return call
