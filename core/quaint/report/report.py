"""What a report says: plain data, saved as JSON or as one HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quaint.report.cost import Cost


@dataclass(frozen=True)
class LayerReport:
    """One layer of the chip.

    Args:
        name: the float node that it mainly comes from.
        op: its kernel.
        output: name of the tensor that it makes.
        shape: of that tensor; None for the batch.
        dtype: its integers.
        scale: real value of one step, or one for each channel.
        zero_point: the integer of real zero, or one for each channel.
        weight_bits: bits of its weights; None for a layer without.
        activation_bits: bits of its output.
        noise: noise-to-signal power of its output against the float model, errors of earlier layers included; None where
            the float model has no such tensor, or nothing was measured.
        saturated: share of output integers at an end of their type; None where nothing was measured.
        parameter_bytes: of its constants.
        macs: multiply-accumulates for one sample; None where the float model is not at hand.
    """

    name: str
    op: str
    output: str
    shape: tuple[int | None, ...]
    dtype: str
    scale: float | list[float]
    zero_point: int | list[int]
    weight_bits: int | None
    activation_bits: int
    noise: float | None
    saturated: float | None
    parameter_bytes: int
    macs: int | None

    @property
    def bits(self) -> str:
        """Bits of weights and output, ``4/8``; of the output alone for a layer without weights."""
        return f"{self.weight_bits}/{self.activation_bits}" if self.weight_bits else str(self.activation_bits)


@dataclass(frozen=True)
class Report:
    """A quantized model against its float source.

    Args:
        model: the model's name.
        target: the chip.
        samples: how many samples it was measured on; 0 where it was not compared.
        random: whether ranges come from random samples.
        layers: in order of execution.
        outputs: model output -> noise-to-signal power; empty where the float model is not at hand, or nothing was measured.
        agreement: share of samples (of pixels, for maps) whose greatest score is at the same class as in the float model,
            by the model's first output; None where it has no classes, or nothing was measured.
        host: float layers that run on the host, each with the reason.
        warnings: what the user has been warned of.
        config: the wishes, the target's defaults included.
        cost: flash, memory and multiply-accumulates.
    """

    model: str
    target: str
    samples: int
    random: bool
    layers: tuple[LayerReport, ...]
    outputs: Mapping[str, float | None]
    agreement: float | None
    host: tuple[Mapping[str, str], ...]
    warnings: tuple[str, ...]
    config: Mapping[str, Any]
    cost: Cost

    @property
    def totals(self) -> dict[str, int]:
        """Layers, bytes of constants, multiply-accumulates for one sample."""
        return {
            "layers": len(self.layers),
            "parameter_bytes": sum(layer.parameter_bytes for layer in self.layers),
            "macs": sum(layer.macs or 0 for layer in self.layers),
        }

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        layers = [vars(layer) | {"bits": layer.bits} for layer in self.layers]
        return vars(self) | {"layers": layers, "totals": self.totals, "cost": self.cost.to_dict()}

    def to_json(self) -> bytes:
        """``report.json``."""
        import json

        return (json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n").encode()

    def to_html(self) -> bytes:
        """``report.html``: one page without scripts that loads nothing."""
        from quaint.report.page import render

        return render(self).encode()

    def save(self, path: str | Path) -> None:
        """Write a ``.json`` or ``.html`` file; an existing one is replaced at once or not at all.

        Raises:
            QuaintError: QU108 for another suffix.
        """
        from quaint.files import write_atomic

        forms = {".json": self.to_json, ".html": self.to_html}
        suffix = Path(path).suffix.lower()
        if suffix not in forms:
            raise QuaintError("QU108", f"a report is no {suffix or 'file without suffix'}", hint="take .html or .json")
        write_atomic(path, forms[suffix](), force=True)
