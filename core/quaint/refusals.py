"""What a chip does not run, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Refusal:
    """A float node that the chip does not run, and why."""

    node: str
    op: str
    reason: str

    def __str__(self) -> str:
        return f"{self.node} ({self.op}): {self.reason}"


class Excess(Refusal):
    """A limit that the hardware has and the arithmetic has not: ``Config.beyond_hardware`` makes a warning of it."""


class Missing(Refusal):
    """No layer of the chip is anything like it: nothing that a user changes about the node would help."""


def refused(target: str, refusals: Iterable[Refusal], consequence: str = "") -> QuaintError:
    """The error for all layers that the chip called ``target`` cannot run, each with its reason.

    Args:
        target: name of the chip.
        refusals: each is named once.
        consequence: what follows from it, where that is why the model is refused.

    Returns:
        QT310.
    """
    unique = list(dict.fromkeys(refusals))
    return QuaintError(
        "QT310",
        f"{target} cannot run {len(unique)} layer{'s' if len(unique) > 1 else ''} of this model{consequence}",
        where=f"layer {unique[0].node!r}" if len(unique) == 1 else None,
        hint="change them, end before them with --until, or take another target",
        details=[str(refusal) for refusal in unique],
    )
