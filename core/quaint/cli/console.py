"""Tables and progress for the terminal; every text in them is shown as it is, markup and control characters disarmed."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from quaint.errors import one_line
from quaint.pipeline import Stages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: Columns of a result that goes to a file or a pipe.
PIPE_WIDTH = 120
#: A table may be as wide as this on a narrower terminal: rather a wrapped line than a number folded inside its cell.
TABLE_WIDTH = 100


def console() -> Console:
    """Standard output."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(file=sys.stdout, width=width, highlight=False)


def print_lines(*lines: str, indent: str = "") -> None:
    """Plain lines."""
    for line in lines:
        console().print(Text(indent + one_line(line)), soft_wrap=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """A table; numbers stand to the right.

    Args:
        columns: headings; those that start with ``>`` are of numbers.
        rows: anything that ``text_of`` makes a text of.
        title: a line above it.
    """
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, title_justify="left")
    table.title = Text(one_line(title), style="bold") if title else None
    for heading in columns:
        table.add_column(
            heading.removeprefix(">"), justify="right" if heading.startswith(">") else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(Text(one_line(text_of(cell))) for cell in row))
    shown = console()
    wanted = Measurement.get(shown, shown.options.update_width(TABLE_WIDTH), table).maximum
    shown.width = max(shown.width, wanted)
    shown.print(table, Text())


def text_of(value: Any) -> str:
    """A cell: nothing for None, three digits for a float."""
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@contextmanager
def progress() -> Iterator[Stages]:
    """Stages that are shown on a terminal while they last."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    shown = Console(file=sys.stderr)
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:

        def begin(name: str) -> None:
            for task in bar.task_ids:
                bar.remove_task(task)
            bar.add_task(name, total=None)

        yield Stages(begin, lambda done, total: bar.update(bar.task_ids[-1], completed=done, total=total))
