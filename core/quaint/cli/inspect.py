"""``quaint inspect``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from quaint.cli.options import PATH
from quaint.cli.session import Session, json_option, pass_session

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx_ir as ir

    from quaint.quantized import Quantized


@click.command()
@click.argument("file", type=PATH)
@json_option
@pass_session
def inspect(session: Session, file: Path) -> None:
    """Show what is in FILE: a float model, a saved quantized model, or a file that a plugin can read."""
    document = describe(file)
    session.give(document, lambda: _show(document))


def describe(file: Path) -> dict[str, Any]:
    """What is in a file, as plain data.

    A front end whose object has a ``describe(path)`` answers for its own files.

    Raises:
        QuaintError: QM100 to QM192 where nobody can read it.
    """
    from quaint.frontends.detect import frontend_of
    from quaint.pipeline import load_model
    from quaint.plugins import registry
    from quaint.saved import is_saved, load_quantized

    if is_saved(file):
        return _describe_quantized(load_quantized(file))
    suffix = frontend_of(file, registry().names("quaint_frontends"))
    frontend = registry().get("quaint_frontends", suffix, code="QM100", what="model format")
    if hasattr(frontend, "describe"):
        return dict(frontend.describe(file))
    return _describe_float(load_model(file))


def _describe_quantized(model: Quantized) -> dict[str, Any]:
    integer = model.integer
    return {
        "format": "quantized",
        "name": integer.name,
        "target": model.target.name,
        "inputs": [_edge(model, name) for name in integer.inputs],
        "outputs": [_edge(model, name) for name in integer.outputs],
        "layers": [
            {
                "name": layer.name,
                "op": layer.op,
                "inputs": list(layer.inputs),
                "outputs": [_edge(model, name) for name in layer.outputs],
                "constants": {key: f"{a.dtype}[{', '.join(map(str, a.shape))}]" for key, a in layer.constants.items()},
                "bytes": layer.parameter_bytes,
            }
            for layer in integer.layers
        ],
        "config": model.kept_config(),
        "calibration": vars(model.calibration) if model.calibration else None,
        "warnings_when_made": list(model.warnings),
    }


def _edge(model: Quantized, name: str) -> dict[str, Any]:
    params = model.integer.tensors.get(name)
    what = params.to_dict() if params else {"dtype": "float32"}
    return {"name": name, "shape": list(model.integer.shapes[name]), **what}


def _describe_float(model: ir.Model) -> dict[str, Any]:
    from quaint.canonicalize import canonicalize

    graph = model.graph
    before = Counter(node.op_type for node in graph)
    constants = [value.const_value for value in graph.initializers.values() if value.const_value is not None]
    inputs = [value for value in graph.inputs if value.name not in graph.initializers]
    document = {
        "format": "float",
        "name": graph.name,
        "producer": f"{model.producer_name or ''} {model.producer_version or ''}".strip(),
        "opset": dict(graph.opset_imports),
        "inputs": [_value(value) for value in inputs],
        "outputs": [_value(value) for value in graph.outputs],
        "operators": dict(before.most_common()),
        "parameters": sum(tensor.size for tensor in constants),
        "parameter_bytes": sum(tensor.nbytes for tensor in constants),
    }
    after = Counter(node.op_type for node in canonicalize(model).graph)
    return document | {"canonical_operators": dict(after.most_common()), "canonical": before == after}


def _value(value: ir.Value) -> dict[str, Any]:
    from quaint.graph import dims

    return {
        "name": value.name,
        "shape": list(dims(value) or ()),
        "dtype": str(value.dtype.numpy()) if value.dtype else None,
    }


def _show(document: Mapping[str, Any]) -> None:
    """For people: a table for a list of like entries, a line for everything else."""
    from quaint.cli.console import print_lines, print_table

    tables = {key: value for key, value in document.items() if value and isinstance(value, list) and _are_rows(value)}
    lines = (f"{_heading(key)}: {_cell(value)}" for key, value in document.items() if key not in tables)
    print_lines(*(line for line in lines if not line.endswith(": ")), "")
    for key, rows in tables.items():
        cells = [_flat(row) for row in rows]
        columns = list(dict.fromkeys(column for row in cells for column, cell in row.items() if cell))
        print_table(
            [*map(_heading, columns)], [[row.get(column, "") for column in columns] for row in cells], _heading(key)
        )


def _are_rows(value: list[Any]) -> bool:
    return all(isinstance(item, dict) for item in value)


def _heading(key: str) -> str:
    return key.replace("_", " ")


def _flat(row: Mapping[str, Any]) -> dict[str, str]:
    """A row's cells; an entry that is a list of one tensor gives its columns to the row.

    What a layer reads and its constants are left to the JSON.
    """
    cells: dict[str, str] = {}
    for key, value in row.items():
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            cells |= {key if column == "name" else column: _cell(item, column) for column, item in value[0].items()}
        elif not isinstance(value, dict) and key != "inputs":
            cells[key] = _cell(value, key)
    return cells


def _cell(value: Any, key: str = "") -> str:
    """Data in few characters."""
    from quaint.report.text import scale

    if key == "scale":
        return scale(value)
    match value:
        case None:
            return ""
        case dict():
            return str(value.get("name") or ", ".join(f"{name} {_cell(item)}" for name, item in value.items()))
        case list() | tuple():
            shown = [_cell(item) or "?" for item in value[:8]]
            return ", ".join([*shown, "..."] if len(value) > len(shown) else shown)
        case float():
            return f"{value:.4g}"
    return str(value)
