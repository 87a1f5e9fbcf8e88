"""``quaint search``."""

from __future__ import annotations

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
from quaint.cli.session import Session, json_option, pass_session, to_json
from quaint.errors import QuaintError

if TYPE_CHECKING:
    from pathlib import Path

    from quaint.mixed_precision import Found


@click.command()
@model_argument
@target_option
@samples_option
@click.option(
    "--budget", "budgets", multiple=True, default=("nsr=0.05",), show_default=True, metavar="WHAT=NUMBER",
    help="nsr=0.05: noise at the outputs at the most; agreement=0.99: same class as float at the least; layers=3: layers with "
    "more bits at the most. Give several to keep to all.",
)  # fmt: skip
@click.option("--output", type=PATH, metavar="FILE", help="Write the configuration here, for quaint quantize --config.")
@layout_option
@force_option
@config_options
@json_option
@pass_session
def search(
    session: Session,
    /,
    model: Path,
    target: str,
    samples: Path | None,
    budgets: tuple[str, ...],
    output: Path | None,
    layout: str | None,
    force: bool,
    **wishes: Any,
) -> None:
    """Find the fewest layers of MODEL that need more bits to keep to a budget.

    Exit code 6 says that the budget is not met; the best that was found is given all the same.
    """
    from quaint import pipeline
    from quaint.files import check_target, write_atomic

    chip = pipeline.find_target(target)
    config = make_config(**wishes, target=chip)
    protect = [path for path in (model, samples, wishes["config_file"]) if path is not None]
    if output is not None:
        check_target(output, force=force, protect=protect)

    from quaint.cli.console import progress
    from quaint.mixed_precision import Budget
    from quaint.mixed_precision import search as search_widths
    from quaint.options import kept_options

    budget = Budget.parse(budgets)
    with progress() as stages:
        found = search_widths(model, chip, samples, budget, config, layout=layout, begin=stages.begin)
    document = {"target": found.target, "config": kept_options(chip, found.config).to_dict()}
    if output is not None:
        write_atomic(output, (to_json(document) + "\n").encode(), force=force, protect=protect)
    for warning in found.quantized.warnings:
        session.warn(warning)
    more = {"met": found.met, "bits": found.bits, "budget": vars(budget), "curve": [*map(vars, found.curve)]}
    files = {"files": [str(output)] if output is not None else []}
    session.give(document | more | files, lambda: _show(found, output), _unmet(found))


def _unmet(found: Found) -> QuaintError | None:
    if found.met:
        return None
    what = f"the budget is not met with {len(found.curve) - 1} layers of {found.bits} bits"
    return QuaintError("QV430", what, hint="allow more layers, or try another --quantizer or --observer")


def _show(found: Found, output: Path | None) -> None:
    from quaint.cli.console import print_lines, print_table
    from quaint.report.text import noise, percent

    rows = [
        (index, trial.layers[-1] if trial.layers else "", noise(trial.noise), percent(trial.agreement))
        for index, trial in enumerate(found.curve)
    ]
    title = f"layers of {found.bits} bits on {found.target}"
    print_table((">layers", "added", ">noise at the outputs", ">same class"), rows, title)
    if output is not None:
        print_lines(f"wrote {output}")
