"""What the ``akida`` package loads: ``NAME.TARGET.fbz``, where the package is installed."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from quaint.errors import QuaintError, QuaintWarning
from quaint.options import Option
from quaint_akida.runtime_model import build

if TYPE_CHECKING:
    from quaint.quantized import Quantized

OPTION = Option(
    "if-possible",
    "the .fbz file: if-possible (a warning says why not), always (an error says so), never",
    choices=("if-possible", "always", "never"),
)


def export(quantized: Quantized, name: str) -> dict[str, bytes]:
    """The file by name, or none; the package's version decides its bytes.

    Args:
        quantized: a model for one of this plugin's targets.
        name: stem of the file's name.

    Raises:
        QuaintError: QP530 or QT352, see ``runtime_model.build``, where the option ``fbz`` is ``always``.
    """
    wish = quantized.option("fbz")
    if wish == "never":
        return {}
    try:
        return {f"{name}.{quantized.target.name}.fbz": _saved(build(quantized.integer))}
    except QuaintError as error:
        if wish == "always":
            raise
        reason = f"no .fbz was written: {error.what}" + (f"; {error.hint}" if error.hint else "")
        warnings.warn(reason, QuaintWarning, stacklevel=2)
        return {}


def _saved(vendor: Any) -> bytes:
    """The bytes of the file that the package saves; what it has as a buffer is another form."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.fbz")
        vendor.save(str(path))
        return path.read_bytes()
