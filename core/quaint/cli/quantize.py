"""``quaint quantize``."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from quaint.cli.options import (
    PATH,
    config_options,
    force_option,
    layout_option,
    make_config,
    model_argument,
    samples_option,
    target_option,
)
from quaint.cli.session import Session, json_option, pass_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from quaint.quantized import Quantized
    from quaint.report import Report

#: Layers that fit on a screen; the report has them all.
SHOWN_LAYERS = 40


@click.command()
@model_argument
@target_option
@samples_option
@click.option("--output", type=PATH, metavar="DIR", help="Folder to write to; without it nothing is written.")
@layout_option
@force_option
@click.option(
    "--analysis/--no-analysis",
    default=True,
    show_default=True,
    help="Compare the result with the float model: takes as long as running some samples.",
)
@config_options
@json_option
@pass_session
def quantize(
    session: Session,
    /,
    model: Path,
    target: str,
    samples: Path | None,
    output: Path | None,
    layout: str | None,
    force: bool,
    analysis: bool,
    **wishes: Any,
) -> None:
    """Quantize MODEL, a float model in a file, for a target."""
    from quaint import pipeline

    chip = pipeline.find_target(target)
    config = make_config(**wishes, target=chip)
    pipeline.wishes(chip, config)

    from quaint.cli.console import progress
    from quaint.files import OutputFolder
    from quaint.report import analyze
    from quaint.report.build import build, expected_files, safe_name

    name = safe_name(model.stem)
    files: Mapping[str, bytes] = {}
    report: Report | None = None
    with ExitStack() as stack:
        stages = stack.enter_context(progress())
        folder = None
        if output is not None:
            protect = [path for path in (model, samples, wishes["config_file"]) if path is not None]
            folder = stack.enter_context(OutputFolder(output, force=force, protect=protect))
            folder.declare(expected_files(name, chip))
        quantized = pipeline.quantize(model, chip, samples, config, layout=layout, stages=stages)
        if folder is not None:
            with stages("export"):
                files, report = build(quantized, name, model_file=model, analysis=analysis)
                folder.declare(list(files), sum(map(len, files.values())))
                for file, content in files.items():
                    folder.write(file, content)
        if report is None:
            with stages("analyze"):
                report = analyze(quantized, quantized.samples if analysis else None)
    for warning in quantized.warnings:
        session.warn(warning)
    written = [str(output / file) for file in files] if output is not None else []
    document = _document(quantized, report, written, stages.seconds)
    session.give(document, lambda: _show(report, written, stages.seconds, session))


def _document(
    quantized: Quantized, report: Report, written: Sequence[str], seconds: Mapping[str, float]
) -> dict[str, Any]:
    data = report.to_dict()
    return {
        "model": report.model,
        "target": report.target,
        "files": list(written),
        "layers": data["layers"],
        "unsupported": [vars(refusal) for refusal in quantized.refusals],
        "outputs": data["outputs"],
        "agreement": report.agreement,
        "samples": vars(quantized.calibration) if quantized.calibration else None,
        "totals": report.totals,
        "cost": data["cost"],
        "config": data["config"],
        "seconds": dict(seconds),
        "peak_memory_bytes": peak_memory(),
    }


def _show(report: Report, written: Sequence[str], seconds: Mapping[str, float], session: Session) -> None:
    from quaint.cli.console import print_lines, print_table
    from quaint.report.text import cost_line, count, noise, percent, size

    columns = ("layer", "operation", ">bits", "output", ">noise", ">saturated", ">constants", ">MACs")
    rows = [
        (x.name, x.op, x.bits, x.dtype, noise(x.noise), percent(x.saturated), size(x.parameter_bytes), count(x.macs))
        for x in report.layers[:SHOWN_LAYERS]
    ]
    print_table(columns, rows, f"{report.model} on {report.target}")
    if len(report.layers) > SHOWN_LAYERS:
        print_lines(f"... and {len(report.layers) - SHOWN_LAYERS} more: see report.html (--output) or --json")
    if report.host:
        host = [(layer["node"], layer["op"], layer["reason"]) for layer in report.host]
        print_table(("on the host, in float", "operation", "why"), host)
    ends = [f"noise at {name} {noise(value)}" for name, value in report.outputs.items()]
    same = [] if report.agreement is None else [f"same class as float {percent(report.agreement)}"]
    if ends:
        print_lines(", ".join([*ends, *same]) + f" of {report.samples} samples" * bool(same))
    print_lines(cost_line(report.cost))
    print_lines(*(f"wrote {path}" for path in written))
    slowest = max(seconds, key=lambda stage: seconds[stage])
    total = time.perf_counter() - session.started
    print_lines(f"{total:.1f} s ({slowest} {seconds[slowest]:.1f} s), peak memory {size(peak_memory())}")


def peak_memory() -> int:
    """The most memory that this process has held so far, in bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # getrusage(2): kilobytes on Linux, bytes on macOS
