"""``quaint analyze``: where errors come from."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from quaint.cli.options import PATH, force_option, layout_option, model_argument, samples_option
from quaint.cli.session import Session, json_option, pass_session
from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

quantized_argument = click.argument("quantized", type=PATH)


@click.group()
def analyze() -> None:
    """Say where errors come from."""


@analyze.command("quantization-error")
@model_argument
@quantized_argument
@samples_option
@click.option("--cumulative", is_flag=True, help="Errors with all layers quantized, not each layer's own.")
@click.option("--sensitivity", is_flag=True, help="What quantizing one layer alone does to the outputs.")
@click.option("--layer", metavar="LAYER", help="One layer, channel by channel.")
@click.option("-b", "--batch-size", type=click.IntRange(1), metavar="N", help="How many samples to measure on.")
@layout_option
@json_option
@pass_session
def quantization_error(
    session: Session,
    /,
    model: Path,
    quantized: Path,
    samples: Path | None,
    cumulative: bool,
    sensitivity: bool,
    layer: str | None,
    batch_size: int | None,
    layout: str | None,
) -> None:
    """How far each layer of QUANTIZED, a saved model, is from MODEL, the float model that it was made of.

    Each layer is measured alone, on what the float model gives it. Where the quantizer has changed the weights (--equalize),
    give the samples that it was calibrated on.
    """
    if sensitivity and (cumulative or layer):
        raise QuaintError("QU106", "--sensitivity goes with neither --cumulative nor --layer")

    from quaint.cli.console import progress
    from quaint.report.layer_errors import Bench, layer_errors, sensitivities
    from quaint.report.pairing import with_source
    from quaint.saved import load_quantized

    with progress() as stages, stages("analyze"):
        paired = with_source(load_quantized(quantized), model, samples, layout)
        bench = Bench(paired, batch_size)
        found: Sequence[Any] = (
            list(sensitivities(bench, stages.step))
            if sensitivity
            else list(layer_errors(bench, cumulative=cumulative, layer=layer))
        )
    if paired.samples is not None and paired.samples.random:
        session.warn("no samples were given: errors are measured on random ones; pass --samples")
    mode = "sensitivity" if sensitivity else "cumulative" if cumulative else "single"
    count = len(next(iter(bench.feeds.values())))
    rows = [dataclasses.asdict(row) for row in found]
    session.give({"mode": mode, "samples": count, "layers": rows}, lambda: _show_errors(rows, mode, count))


def _show_errors(rows: Sequence[Mapping[str, Any]], mode: str, count: int) -> None:
    from quaint.cli.console import print_table
    from quaint.report.text import noise, percent

    title = f"{mode}, {count} sample{'s' if count > 1 else ''}"
    if mode == "sensitivity":
        effects = [(row["layer"], row["op"], noise(row["noise"]), percent(row["agreement"])) for row in rows]
        print_table(("layer", "operation", ">noise at the outputs", ">same class"), effects, title)
        return
    named = [f"{row['layer']}{'' if row['channel'] is None else ':' + str(row['channel'])}" for row in rows]
    measures = [(noise(row["noise"]), percent(row["smape"]), percent(row["saturated"])) for row in rows]
    cells = [(name, row["op"], *measure) for name, row, measure in zip(named, rows, measures, strict=True)]
    print_table(("layer", "operation", ">noise", ">SMAPE", ">saturated"), cells, title)


@analyze.command("weights")
@model_argument
@quantized_argument
@samples_option
@layout_option
@json_option
@pass_session
def weights(session: Session, model: Path, quantized: Path, samples: Path | None, layout: str | None) -> None:
    """Errors of the weights, and channels that are dead or stand out.

    Where the quantizer has changed the weights (--equalize), give the samples that it was calibrated on.
    """
    from quaint.report.pairing import with_source
    from quaint.report.weights import weight_errors
    from quaint.saved import load_quantized

    found = list(weight_errors(with_source(load_quantized(quantized), model, samples, layout)))
    rows = [dataclasses.asdict(row) for row in found]
    session.give({"layers": rows}, lambda: _show_weights(rows))


def _show_weights(rows: Sequence[Mapping[str, Any]]) -> None:
    from quaint.cli.console import print_table
    from quaint.report.text import noise

    columns = ("layer", ">bits", ">noise", ">largest", ">in the smallest channel", ">dead channels", ">outliers")
    ranges = [(row["largest"], row["smallest_channel"], len(row["dead"]), len(row["outliers"])) for row in rows]
    print_table(
        columns, [(r["layer"], r["bits"], noise(r["noise"]), *more) for r, more in zip(rows, ranges, strict=True)]
    )


@analyze.command("kernel-distribution")
@model_argument
@click.option("--logdir", type=PATH, required=True, metavar="DIR", help="Folder for TensorBoard's event file.")
@force_option
@json_option
@pass_session
def kernel_distribution(session: Session, model: Path, logdir: Path, force: bool) -> None:
    """Write histograms of the weights of MODEL, a float model, for TensorBoard."""
    from quaint.canonicalize import canonicalize
    from quaint.files import OutputFolder
    from quaint.pipeline import load_model
    from quaint.report.histograms import FILE, write_histograms
    from quaint.report.weights import kernels

    found = list(kernels(canonicalize(load_model(model))))
    with OutputFolder(logdir, force=force, protect=[model]) as folder:
        folder.declare([FILE])
        write_histograms(folder.stage(FILE), found)
    rows = [
        {"layer": name, "shape": list(a.shape), "least": float(a.min()), "greatest": float(a.max())}
        | {"mean": float(a.mean()), "deviation": float(a.std())}
        for name, a in found
    ]
    session.give({"files": [str(logdir / FILE)], "layers": rows}, lambda: _show_kernels(rows, logdir / FILE))


def _show_kernels(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    from quaint.cli.console import print_lines, print_table

    columns = ("layer", "shape", ">least", ">greatest", ">mean", ">deviation")
    cells = [(r["layer"], "x".join(map(str, r["shape"])), *list(r.values())[2:]) for r in rows]
    print_table(columns, cells)
    print_lines(f"wrote {path}")
