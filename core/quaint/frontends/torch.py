"""PyTorch modules and exported programs (``.pt2``) as ONNX, through ``torch.export`` and ``torch.onnx``."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import inspect
import io
import logging
import os
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from quaint.errors import QuaintError
from quaint.frontends.detect import FORMATS, detect
from quaint.frontends.limits import Limits
from quaint.frontends.onnx import validate

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

_SCOPES = "pkg.torch.onnx.name_scopes"


_DEFAULT = Limits()


def load(source: Any, example_inputs: Any = None, *, limits: Limits = _DEFAULT) -> ir.Model:
    """The float ONNX model of a PyTorch module, in evaluation mode.

    Inputs are named after the arguments of ``forward``, outputs ``output`` (or ``output_0``, ...), nodes after the
    modules (``/features.1/Conv``). The first axis of the inputs is the symbol ``batch`` where the module allows it.

    Args:
        source: a ``torch.nn.Module``, a ``torch.export.ExportedProgram`` or the path of a ``.pt2`` file. Not changed.
        example_inputs: what to call a module with: a tensor, an array or a tuple of them.
        limits: how large the model may claim to be.

    Raises:
        QuaintError: those of `validate`; QM101 no such file; QM102 empty; QM103 not a ``.pt2`` file; QM104 corrupt; QM131
            too large; QM150 PyTorch cannot export the module; QM190 the file could run code; QM192 no example inputs;
            QP530 PyTorch or onnxscript is not installed.
    """
    for package in ("torch", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            hint = "pip install 'quaint[torch]'"
            raise QuaintError("QP530", f"reading PyTorch models needs {package}, which is not installed", hint=hint)
    name = str(source) if isinstance(source, str | os.PathLike) else type(source).__qualname__
    with _quiet():
        if isinstance(source, str | os.PathLike):
            source = _read(Path(source), limits)  # what that refuses it refuses without importing PyTorch
        import torch

        if isinstance(source, torch.export.ExportedProgram):
            model = _to_onnx(source, name)
        elif example_inputs is None:
            hint = "pass example_inputs, a tensor or a tuple of tensors as forward takes them"
            raise QuaintError("QM192", "a PyTorch module is exported by calling it", where=name, hint=hint)
        else:
            inputs = example_inputs if isinstance(example_inputs, tuple | list) else (example_inputs,)
            tensors = tuple(torch.from_numpy(x.copy()) if isinstance(x, np.ndarray) else x for x in inputs)
            with _evaluation(source):
                model = _export(source, tensors, name)
    return validate(model, name, limits)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the exporters print, log and warn of; errors are raised all the same."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextlib.contextmanager
def _evaluation(module: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every submodule gets its own flag back."""
    flags = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, training in flags:
            child.training = training


def _export(module: torch.nn.Module, inputs: tuple[Any, ...], name: str) -> ir.Model:
    """Export with any batch size; with that of the example where a translation needs it."""
    import torch

    batch = tuple({0: torch.export.Dim.AUTO} if isinstance(x, torch.Tensor) and x.ndim else None for x in inputs)
    try:
        with contextlib.suppress(Exception):  # whatever a symbolic batch runs into, the batch of the example may not
            program = torch.export.export(module, inputs, dynamic_shapes=_by_argument(module, batch))
            if _has_symbolic_batch(program):
                return _to_onnx(program, name)
        return _to_onnx(torch.export.export(module, inputs), name)
    except QuaintError:
        raise
    except Exception as error:  # forward is the user's code and may raise anything
        raise _refused(error, name) from error


def _by_argument(module: torch.nn.Module, batch: tuple[Any, ...]) -> Any:
    """Dynamic shapes as ``torch.export`` wants them: one entry for every argument, ``*args`` taken together."""
    kinds = [parameter.kind for parameter in inspect.signature(module.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return batch
    named = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    return (*batch[:named], batch[named:])


def _has_symbolic_batch(program: torch.export.ExportedProgram) -> bool:
    """Whether no input's first axis was fixed by what the module does (``str``: a fixed symbol prints as its number)."""
    names = program.graph_signature.user_inputs
    values = [node.meta["val"] for node in program.graph.nodes if node.name in names]
    return not any(str(value.shape[0]).isdigit() for value in values if getattr(value, "ndim", 0))


def _refused(error: Exception, name: str) -> QuaintError:
    reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    hint = "try torch.export.export(module, inputs) on its own, or give the model as ONNX"
    return QuaintError("QM150", f"PyTorch cannot export it: {reason}", where=name, hint=hint)


def _to_onnx(program: torch.export.ExportedProgram, name: str) -> ir.Model:
    import torch

    count = len(program.graph_signature.user_outputs)
    names = ["output"] if count == 1 else [f"output_{i}" for i in range(count)]
    try:
        onnx_program = torch.onnx.export(program, dynamo=True, verbose=False, output_names=names)
    except Exception as error:  # the exporter has no common base class for what it raises
        raise _refused(error, name) from error
    assert onnx_program is not None
    model = onnx_program.model
    model.graph.name = Path(name).stem
    model.graph.metadata_props.clear()
    _rename(model.graph)
    return model


def _rename(graph: ir.Graph) -> None:
    """Name nodes after modules, values after nodes and the batch ``batch``; forget where the source code lies."""
    edges = {id(value) for value in (*graph.inputs, *graph.outputs)}
    seen: Counter[str] = Counter()
    for node in graph.all_nodes():
        scopes = [scope for scope in ast.literal_eval(node.metadata_props.get(_SCOPES, "[]"))[:-1] if scope]
        name = f"/{scopes[-1]}/{node.op_type}" if scopes else f"/{node.op_type}"
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name] - 1}"
        node.metadata_props.clear()
        for index, value in enumerate(node.outputs):
            if id(value) not in edges:
                value.name = f"{node.name}_output_{index}"
    shapes = [value.shape for value in graph.inputs if value.shape]
    batch = {shape[0].value for shape in shapes if isinstance(shape[0], ir.SymbolicDim)} - {None}
    for value in (*graph.inputs, *(value for node in graph.all_nodes() for value in node.outputs)):
        value.metadata_props.clear()
        if value.shape:
            sizes = [size.value if isinstance(size, ir.SymbolicDim) else size for size in value.shape]
            value.shape = ir.Shape(["batch" if size in batch else size for size in sizes])


def _read(path: Path, limits: Limits) -> torch.export.ExportedProgram:
    """The program in a ``.pt2`` file, read once: what is checked is what is loaded."""
    from quaint.frontends.torch_archive import check

    try:
        found = detect(path)
        limits.check_model(path.stat().st_size, str(path))
        if found == "pt2":
            content = path.read_bytes()
    except FileNotFoundError as error:
        raise QuaintError("QM101", "the file does not exist", where=str(path.resolve())) from error
    what, hint = FORMATS[found]
    if found in {"torch", "pickle"}:
        hint = "save the model with torch.export.save(torch.export.export(module, inputs), 'model.pt2')"
        raise QuaintError("QM190", f"{what}: reading it could run code", where=str(path), hint=hint)
    if found != "pt2":
        code = "QM102" if found == "empty" else "QM103"
        raise QuaintError(code, f"{what}, not a PyTorch exported program", where=str(path), hint=hint)
    import torch

    check(content, str(path), limits)
    try:
        return torch.export.load(io.BytesIO(content))
    except Exception as error:  # the deserializer raises what it stumbles on
        raise QuaintError("QM104", f"truncated or corrupt: {error}", where=str(path)) from error
