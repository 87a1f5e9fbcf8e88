"""What may stand in a ``.pt2`` file for it to be loaded: data only.

``torch.export.load`` unpickles some members, calls ``sympy.sympify`` (which evaluates Python) on expressions, resolves
the targets of calls anywhere below the ``torch`` and ``operator`` modules, and imports the types in tree descriptions.
This module admits a file only if none of these can reach code: a list of what is known to be harmless, not of attacks.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from quaint.errors import QuaintError

if TYPE_CHECKING:
    from quaint.frontends.limits import Limits

_MEMBERS = re.compile(
    r"archive_(format|version)|byteorder|\.data/(version|serialization_id)|models/model\.json|extra/.*"
    r"|data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|data/sample_inputs/model\.pt"
)
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
_ARITHMETIC = "getitem|add|sub|mul|floordiv|truediv|mod|pow|neg|eq|ne|lt|le|gt|ge|and_|or_|not_"
_TARGETS = re.compile(
    rf"torch\.ops\.aten\.(?!from_file\b)\w+\.\w+|_operator\.({_ARITHMETIC})"
    r"|torch\.sym_(int|float|max|min|not|ite|sqrt|sum)|math\.(ceil|floor|trunc)|torch\._C\._set_grad_enabled"
)
#: Names that an expression over sizes may use: symbols, and classes of SymPy and torch.utils._sympy.functions. Powers
#: and left shifts are not among them: a short one may take all memory.
_SYMBOLS = re.compile(
    r"[suz]\d+|oo|int_oo|True|False|true|false|evaluate|and|or|not|And|Or|Not|Integer|Rational|Add|Mul"
    r"|Equality|Unequality"
    r"|(Strict)?(Less|Greater)Than|Eq|Ne|Lt|Le|Gt|Ge|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv|ModularIndexing|Where"
    r"|Abs|CeilToInt|FloorToInt|TruncToInt|RoundToInt|ToFloat|IntTrueDiv|FloatTrueDiv|RShift"
)
#: The only forms with quotes or brackets: SymPy's ``Symbol('s0', positive=True)`` and ``Float('0.5', precision=53)``,
#: and a guard's size of an input, ``L['x'].size()[0]``.
_QUOTED = re.compile(
    r"Symbol\('[suz]\d+'(, [a-z]+=(True|False))*\)|Float\('[\d.e+-]+', precision=\d+\)"
    r"|L(\['\w+'\]|\[\d+\])+\.size\(\)\[\d+\]",
    re.ASCII,
)
#: Names of values, parameters and arguments: PyTorch writes them into source that it compiles.
_NAME = re.compile(r"[\w.]*", re.ASCII)
#: Keys whose strings are only shown or only ever quoted.
_FREE = frozenset({"metadata", "torch_version", "as_string", "as_strings"})
_TREE_TYPES = frozenset({"builtins.tuple", "builtins.list", "builtins.dict"})
_MAX_DEPTH = 64


def check(content: bytes, where: str, limits: Limits) -> None:
    """Refuse a ``.pt2`` file that is damaged, too large or anything but data.

    Args:
        content: the file.
        where: its name, for messages.
        limits: bounds on the sizes of its tensors.

    Raises:
        QuaintError: QM104, damaged; QM131, too large; QM190, something in it could run code.
    """
    import torch
    from torch.export.pt2_archive import PT2ArchiveReader

    try:
        with PT2ArchiveReader(io.BytesIO(content)) as archive:
            members = archive.get_file_names()
            if foreign := [name for name in members if not _MEMBERS.fullmatch(name)]:
                _refuse(f"member {foreign[0]!r}", where)
            for config in _CONFIGS:
                _check_tensors(json.loads(archive.read_string(config))["config"], where, limits)
            _check_program(json.loads(archive.read_string("models/model.json")), where)
            samples = archive.read_bytes("data/sample_inputs/model.pt")
    except (RuntimeError, AssertionError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise QuaintError("QM104", f"truncated or corrupt: {error}", where=where) from error
    try:
        torch.load(io.BytesIO(samples), weights_only=True)  # torch.export.load falls back to an unsafe load
    except Exception as error:  # unpickling raises what it stumbles on
        raise _refusal("the example inputs", where) from error


def _refusal(what: str, where: str) -> QuaintError:
    hint = "export the model to ONNX where it was made"
    return QuaintError("QM190", f"{what} could run code when the file is loaded", where=where, hint=hint)


def _refuse(what: str, where: str) -> NoReturn:
    raise _refusal(what, where)


def _check_tensors(config: Mapping[str, Any], where: str, limits: Limits) -> None:
    """No pickles, no tensors beyond the limits (4 bytes an element)."""
    total = 0
    for name, payload in config.items():
        if payload["use_pickle"] is not False:
            _refuse(f"the pickled tensor {name!r}", where)
        nbytes = 4 * math.prod(int(size["as_int"]) for size in payload["tensor_meta"]["sizes"])
        limits.check_tensor(nbytes, name, where)
        total += nbytes
    limits.check_model(total, where)


def _check_program(model: Mapping[str, Any], where: str) -> None:
    """Every string of the program that may end up in an evaluation, a look-up, an import or generated source."""
    if model["graph_module"].get("treespec_namedtuple_fields"):
        _refuse("a named tuple", where)
    for key, text in _strings(model, where):
        if key in {"target", "as_operator"}:
            if not _TARGETS.fullmatch(text):
                _refuse(f"a call of {text!r}", where)
        elif key in {"expr_str", "range_constraints", "guards_code"}:
            _check_expression(text, where)
        elif key in {"in_spec", "out_spec"}:
            _check_tree(json.loads(text or "null"), where)
        elif key not in _FREE and not _NAME.fullmatch(text):
            _refuse(f"the name {text!r}", where)


def _check_expression(text: str, where: str) -> None:
    bare = _QUOTED.sub("s0", text)
    plain = re.fullmatch(r"[\w\s+\-*/%(),.<>=!&|~]*", bare, re.ASCII)
    reaches = re.search(r"\.\s*[a-zA-Z_]|\*\*|<<", bare)
    known = all(_SYMBOLS.fullmatch(name) for name in re.findall(r"[a-zA-Z_]\w*", bare))
    if not plain or reaches or not known:
        _refuse(f"the expression {text!r}", where)


def _check_tree(spec: Any, where: str) -> None:
    """A description of nested containers, ``[version, tree]``: tuples, lists and dictionaries with plain keys."""
    for key, text in _strings(spec, where):
        if key == "type" and text not in _TREE_TYPES:
            _refuse(f"the type {text!r}", where)
        if key == "context":
            for _, name in _strings(json.loads(text), where):
                if not name.isidentifier():
                    _refuse(f"the name {name!r}", where)


def _strings(value: Any, where: str, key: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Every string in nested JSON with the key that it stands under; a key stands under its object's key."""
    if depth > _MAX_DEPTH:
        raise QuaintError("QM153", f"the program is nested deeper than {_MAX_DEPTH} levels", where=where)
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield (key if key in _FREE | {"range_constraints"} else ""), name
            yield from _strings(item, where, key if key in _FREE else name, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, where, key, depth + 1)
