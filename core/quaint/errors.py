"""Two kinds of error: ours, a line that says what, where and what to try; and bugs, which are everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE, MODEL, SAMPLES, TARGET, CHECK, ENVIRONMENT, FILES, INTERRUPTED = 2, 3, 4, 5, 6, 7, 8, 130

#: Exit status by the code's first two letters; the exceptions (wrong usage found late) stand in ``USAGE_CODES``.
EXIT_BY_FAMILY = {"QU": USAGE, "QM": MODEL, "QC": SAMPLES, "QT": TARGET, "QV": CHECK, "QP": ENVIRONMENT, "QI": FILES}
USAGE_CODES = frozenset({"QT300", "QT340", "QT341", "QP510", "QP511"})


class QuaintError(Exception):
    """A refusal that the user can act on; the command line prints it as one line and no traceback.

    Args:
        code: a documented code such as ``QM140`` (see ``docs/reference/errors.md``); never reused.
        what: what is wrong, without a final full stop.
        where: the tensor, layer or file.
        hint: what to try.
        details: further lines for a person, a row each (say, one unsupported layer each).
    """

    def __init__(
        self,
        code: str,
        what: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        details: Sequence[str] = (),
    ) -> None:
        self.code, self.what, self.where, self.hint, self.details = code, what, where, hint, tuple(details)
        super().__init__(str(self))

    @property
    def exit_code(self) -> int:
        """Exit status of the command line for this error."""
        return USAGE if self.code in USAGE_CODES else EXIT_BY_FAMILY[self.code[:2]]

    def __str__(self) -> str:
        parts = [self.what, f"in {self.where}" if self.where else None, self.hint]
        return f"error[{self.code}]: " + ", ".join(one_line(part) for part in parts if part)


class QuaintWarning(UserWarning):
    """Something that the user should know and that stops nothing."""


def one_line(text: str) -> str:
    """``text`` without line breaks and control characters: names come from untrusted files."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(text.split()))
