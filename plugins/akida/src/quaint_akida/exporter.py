"""What the ``akida`` package loads: ``NAME.TARGET.fbz``, where the package is installed."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from quaint.errors import QuaintError
from quaint.options import Option
from quaint.pipeline import NOT_DEPLOYABLE
from quaint_akida.runtime_layers1 import LAYERS, real_steps
from quaint_akida.runtime_model import build

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from quaint.quantized import Quantized

IF_POSSIBLE, ALWAYS, NEVER = "if-possible", "always", "never"
OPTION = Option(
    IF_POSSIBLE,
    "the .fbz file: if-possible (a warning says why not), always (an error says so), never",
    choices=(IF_POSSIBLE, ALWAYS, NEVER),
)


class Exporter:
    """Writes the file; the package's version decides its bytes."""

    def __call__(self, quantized: Quantized, name: str) -> dict[str, bytes]:
        """The file by name, or none.

        Args:
            quantized: a model for one of this plugin's targets.
            name: stem of the file's name.

        Raises:
            QuaintError: QP530 or QT352, see ``_built``, where the option ``fbz`` is ``always``.
        """
        wish = quantized.option("fbz")
        if wish == NEVER:
            return {}
        try:
            return {f"{name}.{quantized.target.name}.fbz": _saved(_built(quantized))}
        except QuaintError:
            if wish == ALWAYS:
                raise
            return {}

    def remarks(self, quantized: Quantized, files: Mapping[str, bytes]) -> Iterator[str]:
        """Why there is no file, where one was wished for; or what the one that there is gives other than the model."""
        if quantized.option("fbz") == NEVER:
            return
        if any(name.endswith(".fbz") for name in files):
            steps = (
                real_steps(layer, quantized.integer) for layer in quantized.integer.integer_layers if layer.op in LAYERS
            )
            yield from (
                f"predict() of the .fbz gives {found[1]:g} times the outputs"
                for found in steps
                if found and found[1] != 1
            )
            return
        try:
            _built(quantized)
        except QuaintError as error:
            yield f"no .fbz was written: {error.what}" + (f"; {error.hint}" if error.hint else "")


exporter = Exporter()


def _built(quantized: Quantized) -> Any:
    """The package's model, of what the chips run alone.

    Raises:
        QuaintError: QT352 for what only the simulators run, whether or not the package is there; else see
            ``runtime_model.build``.
    """
    beyond = [warning for warning in quantized.warnings if warning.startswith(NOT_DEPLOYABLE)]
    if beyond:
        more = f" (and {len(beyond) - 1} more)" if len(beyond) > 1 else ""
        raise QuaintError("QT352", beyond[0] + more, hint="it was made for the simulators, beyond hardware")
    return build(quantized.integer)


def _saved(vendor: Any) -> bytes:
    """The bytes of the file that the package saves; what it has as a buffer is another form."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.fbz")
        vendor.save(str(path))
        return path.read_bytes()
