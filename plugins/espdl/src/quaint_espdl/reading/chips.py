"""The chips as the runtime treats them: whose file it is, and where their arithmetic differs (ESP-DL 3.3.9)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from quaint.errors import QuaintError
from quaint.suggest import did_you_mean
from quaint_espdl.file.layout import PLAIN
from quaint_espdl.targets import TARGETS

if TYPE_CHECKING:
    from quaint.numerics import Rounding
    from quaint.target import Target
    from quaint_espdl.file.elements import EspdlModel


@dataclass(frozen=True)
class Chip:
    """What reading a file needs to know.

    Args:
        target: number formats and kernels.
    """

    target: Target

    @property
    def rounding(self) -> Rounding:
        """What becomes of the fraction, everywhere."""
        return self.target.rounding

    @property
    def prelu(self) -> tuple[int, ...]:
        """Widths in which PRelu runs in vector instructions, which round; the plain C code cuts off."""
        widths: tuple[int, ...] = self.target.limits["rounding_prelu"]
        return widths


#: A model that comes from a file is not written to one again.
CHIPS = {name: Chip(replace(target, exporter=None)) for name, target in TARGETS.items()}
#: What the vendor's exporter calls the plain C code.
ALIASES = {"c": "esp32"}
#: How the vendor's own files are called.
_SUFFIXES = {"_p4": "esp32p4", "_s3": "esp32s3"}


def by_name(name: str) -> Chip:
    """A chip.

    Raises:
        QuaintError: QT300 for an unknown name, listing the known ones.
    """
    known = ALIASES.get(name, name)
    if known not in CHIPS:
        names = [*CHIPS, *ALIASES]
        raise QuaintError("QT300", f"unknown chip {name!r}", hint=did_you_mean(name, names))
    return CHIPS[known]


def guess(model: EspdlModel, stem: str) -> tuple[Chip, str | None]:
    """The chip that a file is for, and a warning where that is not certain.

    Files of today name it in their metadata. Older ones do not: weights in plain order are for the plain C code, an exponent
    for each channel is what only the P4 can apply; else the end of the file's name (``_p4``, ``_s3``) decides, and failing
    that it is the S3, for which most such files are.
    """
    named = model.metadata.get("target")
    if named:
        return by_name(named), None
    weights = [tensor for tensor in model.graph.initializers if tensor.layout not in {"", "UNK"}]
    if weights and all(tensor.layout in PLAIN for tensor in weights):
        return CHIPS["esp32"], None
    if any(len(tensor.exponents) > 1 for tensor in weights):
        return CHIPS["esp32p4"], None
    ending = next((suffix for suffix in _SUFFIXES if stem.lower().endswith(suffix)), "_s3")
    name = _SUFFIXES[ending]
    reason = f"its name ends in {ending}" if stem.lower().endswith(ending) else "nothing says otherwise"
    return CHIPS[name], f"the file does not say which chip it is for: taken to be {name}, since {reason}"
