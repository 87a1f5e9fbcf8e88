"""``quaint compare``."""

from __future__ import annotations

import json
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
)
from quaint.cli.session import Session, json_option, pass_session
from quaint.errors import QuaintError

if TYPE_CHECKING:
    from pathlib import Path

    from quaint.comparison import Comparison, Row
    from quaint.files import OutputFolder


@click.command()
@model_argument
@click.option("--target", "targets", multiple=True, required=True, metavar="TARGET", help="A chip; give several.")
@samples_option
@click.option("--labels", type=PATH, metavar="FILE", help="Class of each sample, .npy or .npz; for accuracies.")
@click.option(
    "--calibration", type=PATH, metavar="FILE", help="Samples that ranges come from; those of --samples if not given."
)
@click.option("--output", type=PATH, metavar="DIR", help="Folder for comparison.json and a folder for each target.")
@layout_option
@force_option
@config_options
@json_option
@pass_session
def compare(
    session: Session,
    /,
    model: Path,
    targets: tuple[str, ...],
    samples: Path | None,
    labels: Path | None,
    calibration: Path | None,
    output: Path | None,
    layout: str | None,
    force: bool,
    **wishes: Any,
) -> None:
    """Compare targets on MODEL, a float model in a file.

    Every target is quantized with the samples of --calibration and measured on those of --samples. Where only --samples are
    given they serve for both, which flatters all targets a little.
    """
    from quaint import pipeline

    config = make_config(**wishes)
    chips = [pipeline.find_target(target) for target in targets]

    from quaint.cli.console import progress
    from quaint.comparison import compare as compare_targets
    from quaint.files import OutputFolder
    from quaint.samples import read_labels

    known = None if labels is None else read_labels(labels)
    with ExitStack() as stack:
        stages = stack.enter_context(progress())
        folder = None
        if output is not None:
            protect = [
                path for path in (model, samples, labels, calibration, wishes["config_file"]) if path is not None
            ]
            folder = stack.enter_context(OutputFolder(output, force=force, protect=protect))
            folder.declare(["comparison.json"])
        found = compare_targets(model, chips, samples, known, calibration, config, layout=layout, begin=stages.begin)
        if folder is not None:
            _write(folder, found, model)
    for row in found.rows:
        for warning in row.warnings:
            session.warn(f"{row.target}: {warning}")
    error = None
    if all(row.error for row in found.rows):
        error = QuaintError("QT302", "none of the targets can run this model", hint="the reasons stand beside them")
    session.give(found.to_dict(), lambda: _show(found), error)


def _write(folder: OutputFolder, found: Comparison, model: Path) -> None:
    """The comparison, without what differs from run to run, and what ``quantize --output`` writes for each target."""
    from quaint.report.build import build, safe_name

    data = found.to_dict()
    for row in data["rows"]:
        del row["seconds"]
    folder.write("comparison.json", (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())
    for row in found.rows:
        if row.quantized is not None:
            for file, content in build(row.quantized, safe_name(model.stem), model_file=model).files.items():
                folder.write(f"{row.target}/{file}", content)


def _show(found: Comparison) -> None:
    from quaint.cli.console import print_lines, print_table

    accuracies = (">float", ">integer") if found.float_accuracy is not None else ()
    columns = ("target", *accuracies, ">agree", ">noise", ">file", ">weights", ">memory", ">unsupported", ">seconds")
    print_table(
        columns, [_cells(row, found) for row in found.rows], f"{found.model}, measured on {found.samples} samples"
    )
    if found.same_samples:
        print_lines("ranges come from the same samples: give others with --calibration for honest numbers")
    for row in found.rows:
        if row.error:
            print_lines(str(row.error))
            print_lines(*row.error.details, indent="  ")
        elif row.host:
            print_lines(f"{row.target} leaves to the host:")
            print_lines(*row.host, indent="  ")


def _cells(row: Row, found: Comparison) -> list[Any]:
    from quaint.report.text import noise, percent, size

    accuracies = [] if found.float_accuracy is None else [percent(found.float_accuracy), percent(row.accuracy)]
    if row.error:
        refused = [*accuracies[:1], "refused"] if accuracies else ["refused"]
        return [row.target, *refused, *[""] * (4 + bool(accuracies)), len(row.error.details), ""]
    return [
        row.target,
        *accuracies,
        percent(row.agreement),
        noise(row.noise),
        size(row.file_bytes),
        size(row.parameter_bytes),
        size(row.peak_memory_bytes),
        len(row.host),
        f"{row.seconds or 0:.1f}",
    ]
