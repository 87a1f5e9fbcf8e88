"""The ONNX front end, and the validation that all front ends end with.

A file is refused before it can do harm: by content (``detect``), then parsed and screened (``onnx_proto``), then built
and validated. Nothing that the file says is believed, and the file is never written to.
"""

from __future__ import annotations

import difflib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types

from quaint.errors import QuaintError
from quaint.frontends import onnx_graph, onnx_operators
from quaint.frontends.detect import FORMATS, declared_size, detect
from quaint.frontends.limits import Limits
from quaint.frontends.onnx_proto import screen, screen_tensor
from quaint.frontends.onnx_weights import check_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Limits", "load", "validate"]

_DEFAULT = Limits()
_MAX_LISTED = 10_000


def load(source: str | os.PathLike[str] | onnx.ModelProto | ir.Model, *, limits: Limits = _DEFAULT) -> ir.Model:
    """Read a model and validate it.

    Args:
        source: an ONNX file, whose external data must lie in its folder; or a model in memory, which is copied. A
            ModelProto must hold its data; tensors of an ``onnx_ir.Model`` that lie in files must lie in its base folder.
        limits: how large the model may claim to be.

    Returns:
        A model that holds all its data, as ``validate`` leaves it; ``source`` stays as it was, except that the nodes of
        an unsorted ``onnx_ir.Model`` are sorted (it could not be copied otherwise).

    Raises:
        QuaintError: QM101 to QM182, see the documentation of errors.
    """
    if isinstance(source, ir.Model):
        return validate(_copy(source, limits), _name(source), limits)
    if isinstance(source, onnx.ModelProto):
        proto, where, folder = onnx.ModelProto(), _name(source), None
        proto.CopyFrom(source)
    else:
        path = Path(source).absolute()
        where, folder = str(path), path.parent
        proto = _parse(_read(path, limits), path)
    screen(proto, folder, limits, where)
    try:
        model = ir.from_proto(proto)
    except (ir.serde.SerdeError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise QuaintError("QM104", f"the model is corrupt: {onnx_graph.brief(error)}", where=where) from error
    return validate(model, where, limits)


def validate(model: ir.Model, name: str, limits: Limits = _DEFAULT) -> ir.Model:
    """Check a float model in memory and put it in order, in place: functions inlined, nodes sorted and named.

    Args:
        model: any model; front ends give what they converted.
        name: what messages call it.
        limits: how large it may be.

    Returns:
        ``model``.

    Raises:
        QuaintError: what is wrong with the model, where, and what to try.
    """
    onnx_operators.check_versions(model, name)
    onnx_graph.check_size(model, limits, name)
    onnx_operators.check_float(model, name)
    onnx_graph.check_complete(model, name)
    onnx_graph.sort(model, name)
    onnx_graph.inline_functions(model, limits, name)
    onnx_operators.check_operators(model, name)
    onnx_graph.name_nodes(model, name)
    onnx_operators.check_types(model, limits, name)
    check_weights(model, name)
    return model


def _name(source: onnx.ModelProto | ir.Model) -> str:
    return source.graph.name or "the model"


def _copy(source: ir.Model, limits: Limits) -> ir.Model:
    """A copy of ``source`` that holds its data itself."""
    where = _name(source)
    onnx_graph.check_size(source, limits, where)
    onnx_graph.check_complete(source, where)
    onnx_graph.sort(source, where)
    try:
        model = source.clone()
    except RuntimeError as error:
        raise QuaintError("QM160", f"the model is inconsistent: {onnx_graph.brief(error)}", where=where) from error
    for graph, _ in onnx_graph.graphs(model):
        if isinstance(graph, ir.Graph):
            for value in graph.initializers.values():
                if value.const_value is not None:
                    value.const_value = _held(value.const_value, limits, where)
        for node in graph:
            for name, attribute in list(node.attributes.items()):
                if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
                    # Not as_tensor(): its check of the type asks the tensor for its dtype, which may be nonsense.
                    node.attributes[name] = ir.AttrTensor(name, _held(attribute.value, limits, where))
    return model


def _held(tensor: ir.TensorProtocol, limits: Limits, where: str) -> ir.TensorProtocol:
    """``tensor``, with its data in memory; what comes from a file is checked as that of a file."""
    if isinstance(tensor, ir.ExternalTensor):
        return _read_tensor(tensor, limits, where)
    if isinstance(tensor, ir.serde.TensorProtoTensor):
        screen_tensor(tensor.raw, f"tensor {tensor.name!r}", None, limits, where)
    return tensor


def _read_tensor(tensor: ir.ExternalTensor, limits: Limits, where: str) -> ir.TensorProtocol:
    proto: onnx.TensorProto = ir.serde.serialize_tensor(tensor)
    screen_tensor(proto, f"tensor {tensor.name!r}", Path(tensor.base_dir).absolute(), limits, where)
    return ir.serde.deserialize_tensor(proto)


def _read(path: Path, limits: Limits) -> bytes:
    """The bytes of a file that looks like ONNX and is not too large."""
    try:
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise QuaintError("QM103", "this is a device or a pipe, not a file", where=str(path))
        limits.check_model(status.st_size, str(path))
        kind = detect(path)
        if kind == "empty":
            raise QuaintError("QM102", "the file is empty", where=str(path), hint=FORMATS[kind][1])
        if kind != "onnx":
            what, hint = FORMATS[kind]
            raise QuaintError("QM103", f"this is {what}, not an ONNX model", where=str(path), hint=hint)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise QuaintError("QM101", "there is no such file", where=str(path), hint=_near(path)) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise QuaintError("QM101", f"the file cannot be read ({reason})", where=str(path)) from error


def _near(path: Path) -> str:
    """A hint that lists files of similar names."""
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {str(folder)!r} does not exist either"
    with os.scandir(folder) as entries:
        names: Sequence[str] = sorted(entry.name for entry, _ in zip(entries, range(_MAX_LISTED), strict=False))
    near = difflib.get_close_matches(path.name, names, n=3)
    return f"did you mean {', '.join(map(repr, near))}?" if near else "no file in that folder has a similar name"


def _parse(data: bytes, path: Path) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        if "depth" in str(error).lower():
            what = "graphs are nested deeper than protobuf parses"
            raise QuaintError("QM153", what, where=str(path)) from error
        size, declared = len(data), declared_size(path)
        short = f", at least {declared} expected" if declared > size else ""
        what = f"the file is truncated or corrupt ({size} bytes{short})"
        hint = (
            "protobuf ends at 2 GB: keep weights in external data" if size >= 1 << 31 else "download or export it again"
        )
        raise QuaintError("QM104", what, where=str(path), hint=hint) from error
    return proto
