"""Where a model's layers go on a device, as the mapper of BrainChip's ``akida`` package says; no board is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quaint.errors import QuaintError
from quaint.suggest import did_you_mean
from quaint_akida.runtime_model import build, runtime

if TYPE_CHECKING:
    from quaint.integer import IntegerModel

#: Devices that the package has without hardware, by their factories.
DEVICES = (
    "AKD1000",
    "AKD1500",
    "TwoNodesIPv1",
    "TwoNodesIPv2",
    "FourNodesIPv2",
    "SixNodesIPv2",
    "TwelveNodesIPv2",
)
#: How the mapper spreads a model, by the package's names.
MODES = ("AllNps", "HwPr", "Minimal")


@dataclass(frozen=True)
class Sequence:
    """Layers that are programmed together.

    Args:
        name: the package's name of it: its first and last layer.
        backend: ``Hardware`` or ``Software``.
        passes: how often the device is programmed for one inference.
        program_bytes: size of its program.
    """

    name: str
    backend: str
    passes: int
    program_bytes: int


@dataclass(frozen=True)
class Place:
    """The processors of a layer.

    Args:
        layer: its name.
        kind: its type in the package's terms.
        processors: kind of processor -> how many of them.
    """

    layer: str
    kind: str
    processors: dict[str, int]


@dataclass(frozen=True)
class Mapping:
    """A model on a device.

    Args:
        device: its name.
        sequences: in the order of execution.
        places: of the layers that are on processors.
        processors: kind of processor -> how many are in use.
        external_bytes: memory that is needed beside the device's own.
    """

    device: str
    sequences: tuple[Sequence, ...]
    places: tuple[Place, ...]
    processors: dict[str, int]
    external_bytes: int


def map_model(model: IntegerModel, device: str, *, mode: str = "AllNps") -> Mapping:
    """Map a model, all of it, on a virtual device.

    Args:
        model: an integer model for one of this plugin's targets.
        device: one of ``DEVICES``.
        mode: one of ``MODES``.

    Raises:
        QuaintError: QT300 for an unknown device; QP530 and QT352, see ``runtime_model.build``; QT353 where the model does not
            fit, with the package's reason for each layer that does not.
    """
    if device not in DEVICES:
        raise QuaintError("QT300", f"unknown device {device!r}", hint=did_you_mean(device, DEVICES))
    akida = runtime()
    vendor = build(model)
    try:
        vendor.map(getattr(akida, device)(), hw_only=True, mode=getattr(akida.MapMode, mode))
    except RuntimeError as error:
        reasons = [line.strip(" *") for line in str(error).splitlines()]
        lines = [line for line in reasons if line and not line.startswith("Cannot map layer")] or reasons
        hint = "quaint check says what to change where it knows the limit"
        raise QuaintError("QT353", f"does not fit {device}", where=model.name, hint=hint, details=lines) from error
    return _described(vendor, device)


def _described(vendor: Any, device: str) -> Mapping:
    """The mapping of a mapped model."""
    sequences = tuple(
        Sequence(found.name, found.backend.name, len(found.passes), len(found.program)) for found in vendor.sequences
    )
    places = []
    for layer in vendor.layers:
        if layer.mapping is not None:
            kinds = [processor.type.name for processor in layer.mapping.nps]
            places.append(
                Place(
                    layer.name,
                    layer.parameters.layer_type.name,
                    {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
                )
            )
    processors = {kind.name: int(count) for kind, count in vendor.component_count.items()}
    return Mapping(device, sequences, tuple(places), processors, int(vendor.external_memory_size))
