"""Patterns for somebody else's chip: those that packages offer, and those of a script, for as long as a ``with`` lasts."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING

from quaint.pipeline import find_target
from quaint.plugins import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quaint.patterns import Pattern
    from quaint.target import Target

#: Patterns of the scopes that are open, with the target of each, the innermost scope's first.
_OPEN: ContextVar[tuple[tuple[str, type[Pattern]], ...]] = ContextVar("quaint_patterns", default=())


@contextmanager
def patterns(target: str | Target, *classes: type[Pattern]) -> Iterator[None]:
    """Try ``classes`` before a target's own patterns, and before those of packages, until the ``with`` ends.

    Scopes nest: an inner one's patterns go first, and leaving it keeps the outer ones. Each thread and each asynchronous task
    has scopes of its own.

    Raises:
        QuaintError: QT300 for an unknown target.
    """
    name = find_target(target).name
    token = _OPEN.set((*((name, cls) for cls in classes), *_OPEN.get()))
    try:
        yield
    finally:
        _OPEN.reset(token)


def offered(target: Target) -> list[type[Pattern]]:
    """Patterns for a target from elsewhere, in the order in which they are tried: of open scopes, then of packages."""
    names = [name for name in registry().names("quaint_patterns") if name.startswith(f"{target.name}/")]
    scoped = [cls for name, cls in _OPEN.get() if name == target.name]
    return [*scoped, *(registry().get("quaint_patterns", name) for name in names)]


def extended(target: Target) -> Target:
    """The target with the kernels that patterns from elsewhere bring."""
    brought = {name: kernel for cls in reversed(offered(target)) for name, kernel in cls.kernels.items()}
    return replace(target, kernels={**target.kernels, **brought}) if brought else target
