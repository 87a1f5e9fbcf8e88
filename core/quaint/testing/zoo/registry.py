"""Where the models of the zoo are registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from quaint.testing.builder import Builder

#: Name -> what draws the model.
MAKERS: dict[str, Callable[[Builder], tuple[str, ...]]] = {}


def model(maker: Callable[[Builder], str | tuple[str, ...]]) -> Callable[[Builder], str | tuple[str, ...]]:
    """Register a model under its function's name."""

    def make(builder: Builder) -> tuple[str, ...]:
        made = maker(builder)
        return (made,) if isinstance(made, str) else made

    MAKERS[maker.__name__] = make
    return maker
