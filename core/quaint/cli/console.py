"""Tables and progress for the terminal; every text in them is shown as it is, markup and control characters disarmed."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from quaint.errors import one_line
from quaint.pipeline import Stages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: Columns of a result that goes to a file or a pipe.
PIPE_WIDTH = 120


def console() -> Console:
    """Standard output."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)


def print_lines(*lines: str) -> None:
    """Plain lines."""
    for line in lines:
        console().print(Text(one_line(line)), soft_wrap=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """A table; numbers stand to the right.

    Args:
        columns: headings; those that start with ``>`` are of numbers.
        rows: anything that ``text_of`` makes a text of.
        title: a line above it.
    """
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, title_justify="left", title_style="bold")
    table.title = Text(one_line(title)) if title else None
    for heading in columns:
        table.add_column(heading.removeprefix(">"), justify="right" if heading.startswith(">") else "left")
    for row in rows:
        table.add_row(*(Text(one_line(text_of(cell))) for cell in row))
    out = console()
    out.print()
    out.print(table)
    out.print()


def text_of(value: Any) -> str:
    """A cell: nothing for None, three digits for a float."""
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def percent(share: float | None) -> str:
    """A share as per cent with two decimals."""
    return "" if share is None else f"{share:.2%}"


def size(count: int) -> str:
    """A number of bytes for people."""
    if count < 1 << 10:
        return f"{count} B"
    return f"{count / (1 << 10):,.1f} KiB" if count < 1 << 20 else f"{count / (1 << 20):,.1f} MiB"


def noise(power: float | None) -> str:
    """Noise-to-signal power as per cent."""
    return "" if power is None else f"{power:.3%}"


@contextmanager
def progress() -> Iterator[Stages]:
    """Stages that are shown on a terminal while they last."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    shown = Console(file=sys.stderr)
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield Stages(
            begin=lambda name: bar.reset(task, description=name, total=None),
            step=lambda done, total: bar.update(task, completed=done, total=total),
        )
