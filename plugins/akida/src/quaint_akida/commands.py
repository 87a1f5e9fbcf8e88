"""``quaint akida``: the command lines of QuantizeML, mapped to Quaint's own; nothing else accepts these spellings."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from quaint.cli.analyze import kernel_distribution
from quaint.cli.analyze import weights as weight_errors
from quaint.cli.config import config as dump_config
from quaint.cli.insert_rescaling import insert_rescaling as rescale
from quaint.cli.options import PATH
from quaint.cli.quantize import quantize as quantize_model
from quaint.cli.session import Session, json_option, pass_session
from quaint.errors import QuaintError
from quaint_akida.runtime_command import map_command

if TYPE_CHECKING:
    from pathlib import Path

    from quaint.quantized import Quantized

TARGETS = click.Choice(["akida1", "akida2"])
#: What the table of errors gives shares in: SMAPE as such, saturation in per cent.
UNITS = {"smape": 1, "saturated": 100}
model_option = click.option("-m", "--model", type=PATH, required=True, help="The model.")
save_option = click.option(
    "-s", "--save_name", type=PATH, help="Folder to write to; MODEL_quantized beside it if left out."
)


@click.group()
def akida() -> None:
    """QuantizeML's command lines, and a list of layers as it prints it."""


akida.add_command(map_command)


@akida.command()
@model_option
@click.option("-c", "--quantization_config", "config_file", type=PATH, help="Configuration: q_config or Quaint's own.")
@click.option("-a", "--activation_bits", type=int, help="Bits of activations.")
@click.option("-o", "--output_bits", type=int, help="Bits of other outputs.")
@click.option("--per_tensor_activations", is_flag=True, default=None, help="One scale for a tensor.")
@click.option("-w", "--weight_bits", type=int, help="Bits of weights.")
@click.option("-i", "--input_weight_bits", type=int, help="Bits of the first layer's weights.")
@click.option("-id", "--input_dtype", type=click.Choice(["uint8", "int8"]), help="Integers that enter.")
@click.option("-b", "--buffer_bits", type=int, help="Bits of accumulators.")
@click.option("-lob", "--last_output_bits", type=int, help="Bits of the last layer's output.")
@save_option
@click.option("-sa", "--samples", type=PATH, help="Samples to calibrate on.")
@click.option("-ns", "--num_samples", type=int, help="How many random samples, where none are given (1024).")
@click.option("-bs", "--batch_size", type=int, help="Samples in a batch.")
@click.option("-e", "--epochs", type=int, help="How often to go through the samples.")
@click.option("-qu", "--quantize_until", "until", help="The last layer to quantize.")
@click.option("--input_shape", help="Shape of the input without the batch: C,H,W.")
@click.option("--target", type=TARGETS, default="akida2", show_default=True, help="The chip.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@json_option
@click.pass_context
def quantize(
    ctx: click.Context,
    /,
    model: Path,
    save_name: Path | None,
    samples: Path | None,
    num_samples: int | None,
    input_shape: str | None,
    target: str,
    force: bool,
    **wishes: Any,
) -> None:
    """Quantize a model as QuantizeML does: ranges by a moving maximum, widths beyond the hardware with warnings."""
    known = {} if target == "akida1" else {"beyond_hardware": True}
    ctx.invoke(
        quantize_model,
        model=model,
        target=target,
        samples=samples,
        output=save_name.with_suffix("") if save_name else model.with_name(f"{model.stem}_quantized"),
        num_samples=None if samples else num_samples,
        shapes=() if input_shape is None else (f"{_only_input(model)}=N,{input_shape}",),
        observer="moving-max",
        force=force,
        **known,
        **wishes,
    )


def _only_input(model: Path) -> str:
    """The name of a model's one input."""
    from quaint.pipeline import load_model

    names = [value.name or "" for value in load_model(model).graph.inputs]
    if len(names) != 1:
        raise QuaintError(
            "QU113", f"--input_shape is for one input, the model has {len(names)}", hint="quaint quantize --shape"
        )
    return names[0]


@akida.command()
@model_option
@click.option("-o", "--output", type=PATH, help="File to write; MODEL_quant_config.json if left out.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@json_option
@click.pass_context
def config(ctx: click.Context, model: Path, output: Path | None, force: bool) -> None:
    """Dump the q_config of a quantized model."""
    output = output or model.with_name(f"{model.stem}_quant_config.json")
    ctx.invoke(dump_config, quantized=model, form="q_config", output=output, force=force)


@akida.command("insert_rescaling")
@model_option
@click.option("-d", "--destination", type=PATH, required=True, help="ONNX file to write.")
@click.option("-s", "--scale", type=float, required=True, help="Positive.")
@click.option("-o", "--offset", type=float, default=0.0, help="Added after scaling.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@json_option
@click.pass_context
def insert_rescaling(
    ctx: click.Context, model: Path, destination: Path, scale: float, offset: float, force: bool
) -> None:
    """Put x * scale + offset before a float model."""
    ctx.invoke(rescale, model=model, scale=scale, offset=offset, output=destination, force=force)


@akida.group()
def analysis() -> None:
    """Say where errors come from."""


@analysis.command("kernel_distribution")
@model_option
@click.option("-l", "--logdir", type=PATH, required=True, help="Folder for TensorBoard's event file.")
@json_option
@click.pass_context
def distribution(ctx: click.Context, model: Path, logdir: Path) -> None:
    """Write histograms of a float model's weights for TensorBoard."""
    ctx.invoke(kernel_distribution, model=model, logdir=logdir)


@analysis.command("quantization_error")
@click.argument("mode", type=click.Choice(["single", "cumulative", "weight"]))
@model_option
@click.option("-fm", "--float_model", type=PATH, required=True, help="The float model that it was made of.")
@click.option("-tl", "--target_layer", help="One layer, channel by channel.")
@click.option("-bs", "--batch_size", type=int, help="How many samples to measure on.")
@click.option("-sa", "--samples", type=PATH, help="Samples; random ones if left out.")
@json_option
@pass_session
@click.pass_context
def errors(
    ctx: click.Context,
    session: Session,
    /,
    mode: str,
    model: Path,
    float_model: Path,
    target_layer: str | None,
    batch_size: int | None,
    samples: Path | None,
) -> None:
    """How far a quantized model's layers are from the float model's."""
    if mode == "weight":
        ctx.invoke(weight_errors, model=float_model, quantized=model, samples=samples)
        return

    from quaint.report.layer_errors import Bench, layer_errors
    from quaint.report.pairing import with_source
    from quaint.saved import load_quantized

    paired = with_source(load_quantized(model), float_model, samples)
    bench = Bench(paired, batch_size)
    found = [asdict(row) for row in layer_errors(bench, cumulative=mode == "cumulative", layer=target_layer)]
    if paired.samples is not None and paired.samples.random:
        session.warn("no samples were given: errors are measured on random ones; pass --samples")
    session.give({"mode": mode, "samples": bench.count, "layers": found}, lambda: _show_errors(found))


def _show_errors(rows: list[dict[str, Any]]) -> None:
    """QuantizeML's table; a row of a target layer is a channel."""
    from quaint.cli.console import print_table

    cells = []
    for row in rows:
        channel = "" if row["channel"] is None else f":{row['channel']}"
        shares = ["" if row[key] is None else f"{row[key] * unit:.3f}" for key, unit in UNITS.items()]
        cells.append((f"{row['layer']} ({row['op']}){channel}", *shares))
    print_table(("Layer/node", ">SMAPE", ">Saturation (%)"), cells)


@akida.command()
@click.argument("quantized", type=PATH)
@json_option
@pass_session
def summary(session: Session, quantized: Path) -> None:
    """List the layers of QUANTIZED, a saved model, with what leaves them and how many parameters they have."""
    from quaint.saved import load_quantized

    model = load_quantized(quantized)
    session.give({"layers": _listed(model)}, lambda: _show(_listed(model)))


def _listed(model: Quantized) -> list[dict[str, Any]]:
    from quaint_akida.summary import rows

    return [asdict(row) for row in rows(model)]


def _show(rows: list[dict[str, Any]]) -> None:
    from quaint.cli.console import print_table

    cells = [
        (r["name"], r["kind"], r["output"], "x".join(map(str, r["shape"] or ())), str(r["parameters"])) for r in rows
    ]
    print_table(("layer", "kind", "output", "shape", ">parameters"), cells)
