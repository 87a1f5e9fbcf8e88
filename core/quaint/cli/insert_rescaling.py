"""``quaint insert-rescaling``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from quaint.cli.options import PATH, force_option, model_argument
from quaint.cli.session import Session, json_option, pass_session

if TYPE_CHECKING:
    from pathlib import Path


@click.command("insert-rescaling")
@model_argument
@click.option("--scale", type=float, required=True, metavar="S", help="Positive; 1/255 is 0.00392156862745098.")
@click.option("--offset", type=float, default=0.0, show_default=True, metavar="O", help="Added after scaling.")
@click.option("--input", "name", metavar="NAME", help="The input to rescale, where the model has several.")
@click.option("--output", type=PATH, required=True, metavar="FILE", help="ONNX file to write.")
@force_option
@json_option
@pass_session
def insert_rescaling(
    session: Session, /, model: Path, scale: float, offset: float, name: str | None, output: Path, force: bool
) -> None:
    """Put x * S + O before MODEL, a float model, so that raw samples may enter it."""
    from quaint.files import check_target, write_atomic

    check_target(output, force=force, protect=[model])

    import onnx_ir as ir

    from quaint import rescaling

    rescaled = ir.to_proto(rescaling.insert_rescaling(model, scale, offset, name=name))
    write_atomic(output, rescaled.SerializeToString(deterministic=True), force=force, protect=[model])
    session.give({"files": [str(output)]}, lambda: click.echo(f"wrote {output}"))
