"""Settings that a target offers beside the configuration's own keys: which there are, and what the user gave."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from quaint.errors import QuaintError
from quaint.suggest import did_you_mean

if TYPE_CHECKING:
    from quaint.config import Config
    from quaint.target import Target

#: What stands in files for the value of an option that is not kept.
NOT_KEPT = "(not kept)"


@dataclass(frozen=True)
class Option:
    """A setting of a target: ``Config.options`` gives it a value.

    Args:
        default: its value where none is given; its type (bool, int or str) is that of every value.
        help: one line.
        choices: the values that it may have; any of its type if empty.
        form: regular expression that the whole of a text must match; any text if empty.
        kept: whether saved models and manifests record the value. What leads to a secret is not kept.
    """

    default: bool | int | str
    help: str
    choices: tuple[Any, ...] = ()
    form: str = ""
    kept: bool = True

    def check(self, name: str, value: Any) -> None:
        """Refuse a value that the option does not take.

        Raises:
            QuaintError: QT341.
        """
        if value == NOT_KEPT and not self.kept:
            raise QuaintError("QT341", f"option {name!r} is not kept in files", hint="give it again")
        kind = type(self.default)
        if type(value) is not kind:
            raise QuaintError("QT341", f"option {name!r} takes {kind.__name__}, not {value!r}", hint=self.help)
        if self.choices and value not in self.choices:
            known = ", ".join(map(str, self.choices))
            raise QuaintError("QT341", f"option {name!r} does not take {value!r}", hint=f"known: {known}")
        if self.form and not re.fullmatch(self.form, str(value)):
            raise QuaintError("QT341", f"option {name!r} does not take {value!r}", hint=self.help)


def with_options(target: Target, config: Config) -> Config:
    """The configuration with a value for each option of the target: the given one, else its default.

    Raises:
        QuaintError: QT341 for an option that the target does not have, listing those that it has, or a wrong value.
    """
    for name, value in config.options.items():
        if name not in target.options:
            hint = did_you_mean(name, target.options)
            raise QuaintError("QT341", f"{target.name} has no option {name!r}", hint=hint)
        target.options[name].check(name, value)
    defaults = {name: option.default for name, option in target.options.items()}
    return replace(config, options=defaults | dict(config.options))


def kept_options(target: Target, config: Config) -> Config:
    """The configuration for files: given options that are not kept have ``NOT_KEPT`` for a value, which nothing accepts."""
    hidden = {
        name: NOT_KEPT
        for name, option in target.options.items()
        if not option.kept and config.options.get(name, option.default) != option.default
    }
    return replace(config, options={**config.options, **hidden})
