"""``quaint config``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from quaint.cli.options import PATH, force_option
from quaint.cli.session import Session, json_option, pass_session, to_json
from quaint.errors import QuaintError
from quaint.suggest import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from quaint.integer import Layer
    from quaint.quantized import Quantized
    from quaint.target import ConfigFormat, Target


@click.command()
@click.argument("quantized", type=PATH)
@click.option("--format", "form", metavar="NAME", help="A form of the target's own, where it has one.")
@click.option("--output", type=PATH, metavar="FILE", help="Write it here instead of printing it.")
@force_option
@json_option
@pass_session
def config(session: Session, quantized: Path, form: str | None, output: Path | None, force: bool) -> None:
    """Dump the configuration of QUANTIZED, a saved quantized model.

    Every layer stands in it with its widths: edit it and give it to quaint quantize --config.
    """
    from quaint.files import check_target, write_atomic
    from quaint.saved import load_quantized

    if output is not None:
        check_target(output, force=force, protect=[quantized])
    model = load_quantized(quantized)
    document = full_config(model) if form is None else _format(model.target, form).dump(model)
    if output is None:
        session.print_json(document)
        return
    write_atomic(output, (to_json(document) + "\n").encode(), force=force, protect=[quantized])
    session.give({"files": [str(output)]}, lambda: click.echo(f"wrote {output}"))


def _format(target: Target, name: str) -> ConfigFormat:
    if name not in target.config_formats:
        hint = did_you_mean(name, target.config_formats)
        raise QuaintError("QU112", f"{target.name} has no configuration of the form {name!r}", hint=hint)
    return target.config_formats[name]


def full_config(model: Quantized) -> dict[str, Any]:
    """The target's name and a configuration that says everything: what was left to the target is spelled out."""
    target, wishes = model.target, model.kept_config()
    base = {
        "weight_bits": target.weight.dtype.bits,
        "activation_bits": target.activation.dtype.bits,
        "observer": target.activation.observer,
        "quantizer": "ranges",
    }
    # A layer that was put between two blocks has no node of its name to wish anything for.
    named = [layer for layer in model.integer.integer_layers if layer.name in layer.nodes]
    widths = {layer.name: _widths(model, layer) for layer in named}
    layers = {name: entry for name, entry in widths.items() if entry}
    return {"target": target.name, "config": base | wishes | {"layers": layers}}


def _widths(model: Quantized, layer: Layer) -> dict[str, Any]:
    """What was wished for a layer, and its widths as they are; a raw accumulator's width is nobody's wish."""
    from quaint.specs import weight_bits

    reads_input = model.integer.reads_input(layer)
    widths = model.config.for_layer(layer.nodes)
    widths.pop("bits", None)
    if "weight" in layer.constants:
        widths["weight_bits"] = weight_bits(model.target, model.config, layer.nodes, reads_input=reads_input)
    bits = model.integer.tensors[layer.outputs[0]].dtype.bits
    if bits in model.target.activation_bits:
        widths["activation_bits"] = bits
    return widths
