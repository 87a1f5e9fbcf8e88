"""``quaint check``: a float model against a target, or a quantized model against samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from quaint.cli.options import PATH, config_options, layout_option, make_config, samples_option
from quaint.cli.session import Session, json_option, pass_session
from quaint.errors import QuaintError

if TYPE_CHECKING:
    from pathlib import Path

    from quaint.partition import Plan
    from quaint.quantized import Quantized
    from quaint.report.cost import Cost

MAX_SATURATION = 0.01


@click.command()
@click.argument("file", type=PATH, metavar="MODEL|QUANTIZED")
@click.option("--target", metavar="TARGET", help="Say whether this chip can run the float model MODEL.")
@samples_option
@click.option(
    "--max-saturation", type=click.FloatRange(0, 1), default=MAX_SATURATION, show_default=True, metavar="SHARE",
    help="Of a tensor's integers at an end of their type.",
)  # fmt: skip
@layout_option
@config_options
@json_option
@pass_session
def check(
    session: Session,
    /,
    file: Path,
    target: str | None,
    samples: Path | None,
    max_saturation: float,
    layout: str | None,
    **wishes: Any,
) -> None:
    """Say whether a model can be deployed.

    With --target: which layers of a float model run on the chip, which on the host, and which cannot run (exit code 5).
    Without: how a saved quantized model uses its integers on --samples, and whether tensors saturate (exit code 6).
    """
    if target is not None:
        _check_float(session, file, target, wishes)
    else:
        _check_quantized(session, file, samples, layout, max_saturation)


def _check_float(session: Session, file: Path, target: str, wishes: dict[str, Any]) -> None:
    """Divide the model between chip and host; what cannot run at all is raised as QT310."""
    from quaint import pipeline
    from quaint.report.cost import cost_of_plan

    chip = pipeline.find_target(target)
    config = pipeline.wishes(chip, make_config(**wishes, target=chip))
    plan = pipeline.divide(pipeline.canonical(pipeline.load_model(file), config), chip, config)
    for warning in pipeline.host_warnings(plan):
        session.warn(warning)
    spent = cost_of_plan(plan)
    document = {
        "target": chip.name,
        "deployable": not plan.excesses,
        "exceeds": [vars(excess) for excess in plan.excesses],
        "layers": [{"name": block.name, "nodes": list(block.node_names)} for block in plan.blocks],
        "host": [vars(refusal) for refusal in plan.refusals],
        "cost": spent.to_dict(),
    }
    session.give(document, lambda: _show_plan(plan, spent))


def _show_plan(plan: Plan, spent: Cost) -> None:
    from quaint.cli.console import print_lines, print_table
    from quaint.report.text import cost_line, count, size

    rows: list[tuple[Any, ...]] = []
    for row in spent.layers:
        live = f"{size(row.live_bytes)}{' (peak)' if row.name == spent.peak_layer else ''}"
        sizes = (size(row.parameter_bytes), count(row.macs), size(row.output_bytes), live)
        rows.append((row.name, row.op, plan.target.name, *sizes))
    rows += [(refusal.node, refusal.op, f"host: {refusal.reason}", *[""] * 4) for refusal in plan.refusals]
    print_table(("layer", "operators", "runs on", ">constants", ">MACs", ">output", ">in memory"), rows)
    print_lines(cost_line(spent))
    host = f", {len(plan.refusals)} on the host" if plan.refusals else ""
    word = "simulated only, not deployable" if plan.excesses else "deployable"
    print_lines(f"{word} on {plan.target.name}: {len(plan.blocks)} layers on the chip{host}")


def _check_quantized(session: Session, file: Path, samples: Path | None, layout: str | None, limit: float) -> None:
    from quaint.pipeline import NOT_DEPLOYABLE
    from quaint.saved import load_quantized

    model = load_quantized(file)
    for warning in model.warnings:
        session.warn(warning)
    rows = _ranges(model) if samples is None else _measured(model, samples, layout)
    bad = [row for row in rows if (row.get("saturated") or 0) > limit]
    inside = _inside(model, samples, layout)
    deployable = not any(warning.startswith(NOT_DEPLOYABLE) for warning in model.warnings)
    document = {"target": model.target.name, "deployable": deployable, "max_saturation": limit}
    document |= {"tensors": rows, **inside, "met": not bad}
    error = None
    if bad:
        details = [f"tensor {row['name']!r} of {row['layer']}: {row['saturated']:.2%}" for row in bad]
        what = f"{len(bad)} tensors saturate in more than {limit:.2%} of their integers"
        hint = "calibrate on more samples, or with another --observer"
        error = QuaintError("QV410", what, hint=hint, details=details)

    def show() -> None:
        _show_tensors(rows, measured=samples is not None)
        _show_inside(inside)

    session.give(document, show, error)


def _inside(model: Quantized, samples: Path | None, layout: str | None) -> dict[str, list[dict[str, Any]]]:
    """Weights that leave their integers unused, and steps inside layers that saturate on the first samples."""
    from dataclasses import asdict

    from quaint.cli.run import feeds, open_inputs
    from quaint.report.inside import saturations, weight_scales

    batches = () if samples is None else feeds(model, open_inputs(model, samples, layout, integers=False))
    steps = next((saturations(model, batch) for batch in batches), [])
    return {"weights": [asdict(row) for row in weight_scales(model)], "steps": [asdict(step) for step in steps]}


def _show_inside(found: dict[str, list[dict[str, Any]]]) -> None:
    from quaint.cli.console import print_table
    from quaint.report.text import percent

    poor = [(r["layer"], str(r["bits"]), percent(r["use"]), str(r["poor"])) for r in found["weights"] if r["poor"]]
    if poor:
        columns = ("layer", ">bits", ">poorest filter uses", ">filters below half")
        print_table(columns, poor, "inaccurate scales of weights")
    steps = [(row["layer"], str(row["bits"]), percent(row["saturated"])) for row in found["steps"]]
    if steps:
        print_table(("layer", ">bits", ">saturated"), steps, "saturation inside layers")


def _ranges(model: Quantized) -> list[dict[str, Any]]:
    """Each layer's output: its integers and the real values that they reach."""
    tensors = [(layer.name, name) for layer in model.integer.integer_layers for name in layer.outputs]
    found = []
    for layer, name in tensors:
        params = model.integer.tensors[name]
        low = (params.dtype.low - params.zero_point) * params.scale
        high = (params.dtype.high - params.zero_point) * params.scale
        found.append(
            {
                "layer": layer,
                "name": name,
                "dtype": str(params.dtype),
                "low": float(low.min()),
                "high": float(high.max()),
            }
        )
    return found


def _measured(model: Quantized, path: Path, layout: str | None) -> list[dict[str, Any]]:
    """The same with the integers that were seen and the share of them at an end of their type."""
    from quaint.cli.run import feeds, open_inputs
    from quaint.report.metrics import Share, saturated

    rows = _ranges(model)
    names = tuple(row["name"] for row in rows)
    shares = {name: Share() for name in names}
    seen: dict[str, tuple[int, int]] = {}
    for batch in feeds(model, open_inputs(model, path, layout, integers=False)):
        for name, values in model.run(batch, outputs=names).items():
            shares[name].add(saturated(values, model.integer.tensors[name]))
            low, high = int(values.min()), int(values.max())
            before = seen.get(name, (low, high))
            seen[name] = min(low, before[0]), max(high, before[1])
    return [
        row | {"least": seen[row["name"]][0], "greatest": seen[row["name"]][1], "saturated": shares[row["name"]].ratio}
        for row in rows
    ]


def _show_tensors(rows: list[dict[str, Any]], *, measured: bool) -> None:
    from quaint.cli.console import print_lines, print_table
    from quaint.report.text import percent

    columns = ("layer", "tensor", "type", ">lowest real", ">highest real")
    seen = (">least", ">greatest", ">saturated") if measured else ()
    cells = [
        (r["layer"], r["name"], r["dtype"], r["low"], r["high"])
        + ((r["least"], r["greatest"], percent(r["saturated"])) if measured else ())
        for r in rows
    ]
    print_table((*columns, *seen), cells)
    if not measured:
        print_lines("saturation depends on the samples: give some with --samples")
