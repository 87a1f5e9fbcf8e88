"""``quaint run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from quaint.cli.options import PATH, force_option, layout_option
from quaint.cli.session import Session, json_option, pass_session
from quaint.errors import QuaintError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from quaint.quantized import Quantized
    from quaint.samples import Samples

BATCH = 64
DEFAULT_SIMULATOR = "onnxruntime"


@click.command()
@click.argument("quantized", type=PATH)
@click.option("--samples", type=PATH, metavar="FILE", required=True, help="What to run: .npz, .npy or a folder.")
@click.option("--output", type=PATH, metavar="FILE", help="Write the results here, as .npz.")
@click.option("--integers", is_flag=True, help="Samples and results are the chip's integers.")
@click.option("--simulator", default=DEFAULT_SIMULATOR, show_default=True, metavar="NAME", help="What runs it.")
@click.option("--against", metavar="NAME", help="Compare every integer tensor with those of this simulator.")
@layout_option
@force_option
@json_option
@pass_session
def run(
    session: Session,
    /,
    quantized: Path,
    samples: Path,
    output: Path | None,
    integers: bool,
    simulator: str,
    against: str | None,
    layout: str | None,
    force: bool,
) -> None:
    """Run QUANTIZED, a saved quantized model.

    With --against two simulators run it, and exit code 6 says that a tensor differs.
    """
    from quaint.files import check_target, save_npz, write_atomic
    from quaint.plugins import registry

    for name in filter(None, (simulator, against)):
        registry().get("quaint_simulators", name, code="QU105")
    if output is not None:
        check_target(output, force=force, protect=[quantized, samples])

    from quaint.saved import load_quantized

    model = load_quantized(quantized)
    opened = open_inputs(model, samples, layout, integers=integers)
    if against is not None:
        _compare(session, model, opened, (simulator, against), integers=integers)
        return
    found = _run(model, opened, simulator, integers=integers)
    if output is not None:
        write_atomic(output, lambda stream: save_npz(stream, found), force=force, protect=[quantized, samples])
    document = {"outputs": {name: _facts(values) for name, values in found.items()}, "samples": len(opened)}
    document |= {"files": [str(output)] if output else [], "simulator": simulator}
    session.give(document, lambda: _show(found, output))


def open_inputs(model: Quantized, path: Path, layout: str | None, *, integers: bool) -> Samples:
    """The samples as reals, or as the integers that enter the chip."""
    import numpy as np

    from quaint.samples import TensorSpec, open_samples

    integer = model.integer
    names = integer.integer_inputs if integers else integer.inputs
    specs = []
    for name in names:
        params = integer.tensors.get(name)
        dtype = np.dtype(np.float32) if params is None else params.dtype.storage
        shape = tuple(integer.shapes[name])
        specs.append(TensorSpec(model.twins.get(name, name), shape if has_batch(model) else (None, *shape), dtype))
    return open_samples(path, specs, layout=layout)


def has_batch(model: Quantized) -> bool:
    """Whether the first axis of every input counts samples; else a sample is all that the model takes at once."""
    return all(model.integer.shapes[name][0] in {None, 1} for name in model.integer.inputs)


def feeds(model: Quantized, samples: Samples) -> Iterator[Mapping[str, NDArray[Any]]]:
    """The samples as the model takes them."""
    for batch in samples.batches(BATCH):
        if has_batch(model):
            yield batch
        else:
            rows = zip(*batch.values(), strict=True)
            yield from (dict(zip(batch, row, strict=True)) for row in rows)


def _run(model: Quantized, samples: Samples, simulator: str, *, integers: bool) -> dict[str, NDArray[Any]]:
    import numpy as np

    parts = [model.run(batch, integers=integers, simulator=simulator) for batch in feeds(model, samples)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _compare(
    session: Session, model: Quantized, samples: Samples, simulators: tuple[str, str], *, integers: bool
) -> None:
    """Hold every integer tensor of two simulators against each other.

    Raises:
        SystemExit: with 6 (QV420) where they differ.
    """
    tensors = tuple(name for layer in model.integer.integer_layers for name in layer.outputs)
    different, values = dict.fromkeys(tensors, 0), 0
    for batch in feeds(model, samples):
        one, other = (
            model.run(batch, integers=integers, simulator=simulator, outputs=tensors) for simulator in simulators
        )
        for name in tensors:
            different[name] += int((one[name] != other[name]).sum())
            values += one[name].size
    first = next((name for name in tensors if different[name]), None)
    document = {
        "simulators": list(simulators),
        "samples": len(samples),
        "tensors": len(tensors),
        "values": values,
        "equal": first is None,
        "first_difference": first,
        "differences": {name: count for name, count in different.items() if count},
    }
    error = None
    if first is not None:
        what = f"{simulators[0]} and {simulators[1]} do not give the same integers"
        error = QuaintError("QV420", what, where=f"tensor {first!r}", hint="the first of them in order of execution")
    session.give(document, lambda: _show_comparison(document), error)


def _facts(values: NDArray[Any]) -> dict[str, Any]:
    return {
        "dtype": str(values.dtype),
        "shape": list(values.shape),
        "min": values.min().item(),
        "max": values.max().item(),
        "mean": float(values.mean()),
    }


def _show(found: Mapping[str, NDArray[Any]], output: Path | None) -> None:
    from quaint.cli.console import print_lines, print_table

    rows = [
        (name, facts["dtype"], "x".join(map(str, facts["shape"])), facts["min"], facts["max"], facts["mean"])
        for name, facts in ((name, _facts(values)) for name, values in found.items())
    ]
    print_table(("output", "type", "shape", ">least", ">greatest", ">mean"), rows)
    if output is not None:
        print_lines(f"wrote {output}")


def _show_comparison(document: Mapping[str, Any]) -> None:
    from quaint.cli.console import print_lines, print_table

    one, other = document["simulators"]
    what = f"{document['values']:,} integers in {document['tensors']} tensors, {document['samples']} samples"
    if document["equal"]:
        print_lines(f"{one} and {other} agree bit for bit: {what}")
        return
    print_table(("tensor", ">integers that differ"), document["differences"].items())
    print_lines(f"compared {what}")
