"""``quaint akida map``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from quaint.cli.options import PATH
from quaint.cli.session import Session, json_option, pass_session
from quaint_akida.runtime_mapping import DEVICES, MODES, map_model

if TYPE_CHECKING:
    from pathlib import Path

    from quaint_akida.runtime_mapping import Mapping


@click.command(name="map")
@click.argument("quantized", type=PATH)
@click.option("--device", required=True, metavar="NAME", help=f"One of {', '.join(DEVICES)}.")
@click.option("--mode", type=click.Choice(MODES), default="AllNps", show_default=True, help="How to spread the layers.")
@json_option
@pass_session
def map_command(session: Session, /, quantized: Path, device: str, mode: str) -> None:
    """Map QUANTIZED, a saved quantized model, on a virtual device.

    Needs BrainChip's akida package, no board. Exit code 5 says that the model does not fit; a line for each layer says why.
    """
    from quaint.saved import load_quantized

    mapping = map_model(load_quantized(quantized).integer, device, mode=mode)
    session.give(asdict(mapping), lambda: _show(mapping))


def _show(mapping: Mapping) -> None:
    from quaint.cli.console import print_lines, print_table
    from quaint.report.text import size

    columns = ("sequence", "backend", ">passes", ">program")
    rows = [(found.name, found.backend, found.passes, size(found.program_bytes)) for found in mapping.sequences]
    print_table(columns, rows, f"on {mapping.device}")
    print_table(("layer", "type", "processors"), [(p.layer, p.kind, _counted(p.processors)) for p in mapping.places])
    external = f", {size(mapping.external_bytes)} of external memory" if mapping.external_bytes else ""
    print_lines(f"{_counted(mapping.processors)} in use{external}")


def _counted(processors: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in processors.items())
