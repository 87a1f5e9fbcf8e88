"""Verify what was exported: every file of an output folder against its manifest, its vectors and the saved model."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.errors import QuaintError
from quaint.files import hash_file
from quaint.pipeline import front_end, reads_quantized
from quaint.plugins import registry
from quaint.report.sealing import unseal
from quaint.saved import is_saved, load_quantized
from quaint.vectors import Vectors, equal, reproduced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from quaint.quantized import Quantized

    Arrays = Mapping[str, NDArray[Any]]

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 256 << 20


@dataclass(frozen=True)
class Finding:
    """What is to be said of one file.

    Args:
        file: its name.
        checks: what was found right.
        problem: what was found wrong; None if nothing was.
    """

    file: str
    checks: tuple[str, ...] = ()
    problem: QuaintError | None = None


def verify(path: str | Path) -> tuple[Finding, ...]:
    """Verify an output folder, or a single file of a quantized model.

    Args:
        path: a folder that ``quaint quantize --output`` wrote, a saved model, or a file that a front end reads as quantized.

    Raises:
        QuaintError: QM101 where there is no such file or no manifest; QM106 for a file of anything else.
    """
    path = Path(path)
    if not path.is_dir():
        _check_kind(path)
        return (_finding(path.name, _File(path)),)
    manifest = path / MANIFEST
    if not manifest.is_file() or manifest.stat().st_size > MAX_MANIFEST_BYTES:
        raise QuaintError("QM101", f"there is no {MANIFEST}", where=str(path), hint="give the folder of --output")
    try:
        facts = _Manifest.parse(unseal(manifest.read_bytes(), str(manifest)), str(manifest))
    except QuaintError as problem:
        return (Finding(MANIFEST, problem=problem),)
    return (Finding(MANIFEST, ("seal",)), *_files(path, facts))


@dataclass(frozen=True)
class _Manifest:
    """What a manifest says of the files."""

    hashes: Mapping[str, str]
    tensors: Mapping[str, Any]
    golden: Vectors | None

    @classmethod
    def parse(cls, facts: Mapping[str, Any], where: str) -> _Manifest:
        try:
            hashes = {str(name): str(digest) for name, digest in facts["files"].items()}
            golden = facts["golden"]
            vectors = None if golden is None else Vectors(_decoded(golden["inputs"]), _decoded(golden["outputs"]))
            return cls(hashes, dict(facts["tensors"]), vectors)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise QuaintError("QV401", "not a manifest", where=where, hint="quantize again") from error


def _check_kind(path: Path) -> None:
    if not path.is_file():
        raise QuaintError("QM101", "the file does not exist", where=str(path.resolve()))
    if not is_saved(path) and not reads_quantized(front_end(path)):
        raise QuaintError("QM106", "not a quantized model", where=str(path), hint="give a folder of --output")


def _files(folder: Path, facts: _Manifest) -> Iterator[Finding]:
    """The findings for every file of a manifest; the saved model first, since others are compared with it."""
    hashes = facts.hashes
    saved = next((name for name in hashes if _inside(name) and is_saved(folder / name)), None)
    reference: Quantized | None = None
    for name in sorted(hashes, key=lambda name: name != saved):
        file = _File(folder / name, hashes[name], facts, reference)
        yield _finding(name, file)
        if name == saved:
            reference = file.model


def _inside(name: str) -> bool:
    path = PurePath(name)
    return not path.is_absolute() and ".." not in path.parts


def _finding(name: str, file: _File) -> Finding:
    checks: list[str] = []
    try:
        checks.extend(file.checks(name))
    except QuaintError as error:
        known = error.code.startswith("QV")
        problem = error if known else QuaintError("QV402", f"cannot be run: {error.what}", where=name, hint=error.hint)
        return Finding(name, tuple(checks), problem)
    return Finding(name, tuple(checks))


@dataclass
class _File:
    """One file, with what is known of it.

    Args:
        path: the file.
        digest: SHA-256 that it shall have; None if nothing is known.
        facts: of the manifest.
        reference: the saved model that it was made of.
    """

    path: Path
    digest: str | None = None
    facts: _Manifest | None = None
    reference: Quantized | None = None
    model: Quantized | None = None

    def checks(self, name: str) -> Iterator[str]:
        """What is right, one after the other.

        Raises:
            QuaintError: QV401 to QV404 for what is not.
        """
        if self.digest is not None:
            self._check_hash(name)
            yield "hash"
        if is_saved(self.path):
            yield from self._saved()
        elif self._front_end() is not None:
            yield from self._exported()

    def _check_hash(self, name: str) -> None:
        if not _inside(name):
            raise QuaintError("QV401", "the manifest names a file outside its folder", where=name)
        if not self.path.is_file():
            raise QuaintError("QV401", "the file is missing", where=name, hint="quantize again")
        if hash_file(self.path) != self.digest:
            what = "the file is not the one that the manifest was written for"
            raise QuaintError("QV401", what, where=name, hint="it was changed, damaged or mixed up: quantize again")

    def _front_end(self) -> Any:
        """The front end that reads this file as a quantized model, if there is one."""
        suffix = self.path.suffix.lower()
        known = suffix in registry().names("quaint_frontends")
        found = registry().get("quaint_frontends", suffix) if known else None
        return found if reads_quantized(found) else None

    def _saved(self) -> Iterator[str]:
        self.model = _read(self.path)
        yield "seal"
        if self.facts is None:
            return
        tensors = {name: params.to_dict() for name, params in self.model.integer.tensors.items()}
        if json.loads(json.dumps(tensors)) != self.facts.tensors:
            raise QuaintError("QV403", "tensors have other parameters than in the manifest", where=self.path.name)
        if self.facts.golden is not None:
            yield reproduced(self.model, self.facts.golden, self.path.name, "golden vectors")

    def _exported(self) -> Iterator[str]:
        model, frontend = _read(self.path), self._front_end()
        yield "structure"
        vectors = frontend.vectors(self.path) if hasattr(frontend, "vectors") else None
        if vectors is not None:
            yield reproduced(model, vectors, self.path.name, "test vectors")
        golden = None if self.facts is None else self.facts.golden
        if self.reference is not None:
            yield equal(self.reference, model, None if golden is None else golden.inputs, self.path.name)


def _read(path: Path) -> Quantized:
    try:
        return load_quantized(path)
    except QuaintError as error:
        what = f"cannot be read: {error.what}"
        raise QuaintError("QV404", what, where=path.name, hint=error.hint, details=error.details) from error


def _decoded(entries: Mapping[str, Any]) -> Arrays:
    return {
        name: np.frombuffer(base64.b64decode(entry["base64"]), np.dtype(entry["dtype"]).newbyteorder("<"))
        .reshape(entry["shape"])
        .astype(entry["dtype"])
        for name, entry in entries.items()
    }
