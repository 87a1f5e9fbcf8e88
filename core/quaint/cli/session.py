"""One call of the command line: where its result, its warnings and its errors go."""

from __future__ import annotations

import json
import math
import sys
import time
import traceback
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from quaint.errors import QuaintWarning, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from quaint.errors import QuaintError


@dataclass
class Session:
    """Results go to standard output; warnings, progress and errors to standard error.

    Args:
        json: the result is wanted as one JSON document.
        warnings: what the user has been warned of.
        started: seconds of the clock at the start of the call.
    """

    json: bool = False
    warnings: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def warn(self, text: str) -> None:
        """A line on standard error, and in the document; the same text only once."""
        text = one_line(text)
        if text not in self.warnings:
            self.warnings.append(text)
            click.echo(f"warning: {text}", err=True)

    @contextmanager
    def warnings_shown(self) -> Iterator[None]:
        """Inside the block every ``QuaintWarning`` goes through ``warn``."""
        with warnings.catch_warnings():
            warnings.simplefilter("always", QuaintWarning)
            original = warnings.showwarning

            def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
                if issubclass(category, QuaintWarning):
                    self.warn(str(message))
                else:
                    original(message, category, *where, **more)

            warnings.showwarning = show
            yield

    def give(self, document: Mapping[str, Any], show: Callable[[], None], error: QuaintError | None = None) -> None:
        """The result: ``document`` as JSON, with the warnings so far, or what ``show`` prints.

        Args:
            document: plain data.
            show: prints the same for people.
            error: a result that is not as it should be; the process ends with the code of its kind.
        """
        if self.json:
            what = {"error": _as_data(error)} if error else {}
            self.print_json({**document, **what, "warnings": self.warnings})
        else:
            show()
        if error:
            self._say_error(error)
            sys.exit(error.exit_code)

    def refuse(self, error: QuaintError) -> None:
        """An error that the user can mend: one line, then its details."""
        if self.json:
            self.print_json({"error": _as_data(error), "warnings": self.warnings})
        self._say_error(error)

    def _say_error(self, error: QuaintError) -> None:
        self.say([str(error), *(f"  {one_line(line)}" for line in error.details)])

    def report_bug(self, error: Exception) -> None:
        """An error of our own, with its traceback."""
        what = one_line(f"{type(error).__name__}: {error}")
        if self.json:
            self.print_json({"error": {"code": "bug", "message": what, "details": []}, "warnings": self.warnings})
        trace = "".join(traceback.format_exception(error)).splitlines()
        self.say(
            [*trace, f"error: this is a bug in Quaint or in a plugin ({what}); please report it with the lines above"]
        )

    def say(self, lines: Iterable[str]) -> None:
        """Lines on standard error, without control characters."""
        for line in lines:
            click.echo("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line), err=True)

    def print_json(self, document: Mapping[str, Any]) -> None:
        """One document on standard output."""
        click.echo(to_json(document))
        sys.stdout.flush()


def to_json(document: Any) -> str:
    """Standard JSON; numbers that it has no form for (NaN, infinities) become null."""
    return json.dumps(_finite(document), indent=2, allow_nan=False)


def _as_data(error: QuaintError) -> dict[str, Any]:
    message = str(error).removeprefix(f"error[{error.code}]: ")
    return {"code": error.code, "message": message, "details": [one_line(line) for line in error.details]}


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


json_option = click.option("--json", "as_json", is_flag=True, expose_value=False, help="Give the result as JSON.")
pass_session = click.make_pass_decorator(Session, ensure=True)
