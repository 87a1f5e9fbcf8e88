"""From whatever the user calls samples to ``Samples``."""

from __future__ import annotations

import contextlib
import difflib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.errors import QuaintError, QuaintWarning
from quaint.samples.columns import ArrayColumn, ChainedColumn, ColumnSource, fitted
from quaint.samples.dataset import Samples
from quaint.samples.generators import BatchSource, named_arrays
from quaint.samples.images import SUFFIXES, ImageColumn
from quaint.samples.made_up import RandomColumn
from quaint.samples.naming import LABELS, match_names
from quaint.samples.npy import NPY_MAGIC, ZIP_MAGICS, NpyFile, NpzMember, npz_keys
from quaint.samples.spec import LAYOUTS
from quaint.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from quaint.samples.columns import Column, Source
    from quaint.samples.spec import TensorSpec


def open_samples(
    source: Any, inputs: Sequence[TensorSpec], *, layout: str | None = None, calibration: bool = False
) -> Samples:
    """Samples for a model, from a file, a folder, arrays, or batches of one's own making.

    Args:
        source: path of an ``.npz`` (an array for each input; a key ``labels`` is ignored), of an ``.npy``, of a folder of
            ``.npy`` files or of images (in order of name; a file is a sample or a batch; for several inputs, a file
            ``NAME.npy`` or a folder ``NAME`` each); or an array; or ``{input name: array}``; or an iterable of batches,
            or a function that makes one.
        inputs: the model's inputs.
        layout: ``nchw`` or ``nhwc``, how the samples of rank 4 are laid out where not as the model takes them.
        calibration: warn about what makes a bad calibration set: few samples (QC202), constant ones (QC206), bytes for
            a float input (QC207).

    Raises:
        QuaintError: QU110 unknown layout; QC200 to QC240, see the reference of errors. Shapes, dtypes and sizes are checked
            here; the values while they are read.
    """
    if layout is not None and layout not in LAYOUTS:
        raise QuaintError("QU110", f"unknown layout '{layout}'", hint=did_you_mean(layout, LAYOUTS))
    opened = _source(source, inputs, layout, warn=calibration)
    return Samples(opened, inputs, calibration=calibration)


def random_samples(inputs: Sequence[TensorSpec], count: int = 1024, seed: int = 0) -> Samples:
    """``count`` random samples, marked ``random``; see ``RandomColumn`` for their distribution.

    Raises:
        QuaintError: QC201 for none, QC210 where the model leaves a size open.
    """
    if count < 1:
        raise QuaintError("QC201", f"no samples: {count} random ones were asked for")
    columns = {spec.name: RandomColumn(spec, count, seed, stream) for stream, spec in enumerate(inputs)}
    return Samples(ColumnSource(columns, inputs, None), inputs, random=True)


def read_labels(path: str | os.PathLike[str]) -> NDArray[np.int64]:
    """Class numbers, [samples], from an ``.npy``, or from an ``.npz`` with one array or one named ``labels``.

    Raises:
        QuaintError: QC215 where they are no row of integers; or what is wrong with the file.
    """
    with _unreadable_is_qc200(path):
        column = _column_of_labels(_existing(Path(path)))
        if len(column.shape) != 1 or not column.shape[0] or column.dtype.kind not in "iu":
            what = f"labels must be integers of shape [samples], got {column.dtype} {list(column.shape)}"
            raise QuaintError("QC215", what, where=str(path))
        return np.concatenate(list(column.read(column.shape[0]))).astype(np.int64)


def _column_of_labels(path: Path) -> Column:
    if _is_zip(path):
        keys = npz_keys(path)
        key = keys[0] if len(keys) == 1 else LABELS
        if key not in keys:
            raise QuaintError(
                "QC215", f"no array '{LABELS}'", where=str(path), hint=f"found: {', '.join(sorted(keys)) or 'none'}"
            )
        return NpzMember(path, key)
    return NpyFile(path)


def _source(source: Any, inputs: Sequence[TensorSpec], layout: str | None, *, warn: bool) -> Source:
    if isinstance(source, str | os.PathLike):
        with _unreadable_is_qc200(source):
            found = _columns_of_path(_existing(Path(source)), inputs, layout)
    elif isinstance(source, Mapping) or hasattr(source, "__array__"):
        arrays = named_arrays(source, inputs, "samples")
        found = {name: ArrayColumn(values, "samples") for name, values in arrays.items()}
    elif callable(source) or hasattr(source, "__iter__"):
        return BatchSource(source, inputs, layout)
    else:
        what = f"{type(source).__name__} is no kind of samples"
        raise QuaintError("QC240", what, hint="give a path, an array, {input name: array}, or batches")
    if warn:
        _warn_about_bytes(found, inputs)
    columns = {spec.name: fitted(found[spec.name], spec, layout) for spec in inputs}
    return ColumnSource(columns, inputs, layout)


def _columns_of_path(path: Path, inputs: Sequence[TensorSpec], layout: str | None) -> dict[str, Column]:
    if path.is_dir() and len(inputs) > 1:
        entries = {entry.stem if entry.suffix == ".npy" else entry.name: entry for entry in _entries(path)}
        keys = match_names(list(entries), inputs, str(path))
        return {spec.name: _column(entries[keys[spec.name]], spec, layout) for spec in inputs}
    if not path.is_dir() and _is_zip(path):
        keys = match_names(npz_keys(path), inputs, str(path))
        return {name: NpzMember(path, key) for name, key in keys.items()}
    if len(inputs) > 1:
        listed = ", ".join(spec.name for spec in inputs)
        what = "one array, and the model has several inputs"
        raise QuaintError("QC212", what, where=str(path), hint=f"give an .npz with {listed}")
    return {inputs[0].name: _column(path, inputs[0], layout)}


def _column(path: Path, spec: TensorSpec, layout: str | None) -> Column:
    """The samples of one input: an ``.npy``, or a folder of them, or of images."""
    if not path.is_dir():
        return NpyFile(path)
    entries = [entry for entry in _entries(path) if entry.is_file()]
    arrays = [entry for entry in entries if entry.suffix == ".npy" and entry.stem != LABELS]
    images = [entry for entry in entries if entry.suffix.lower() in SUFFIXES]
    if arrays and images:
        what = f"both .npy files and images: {arrays[0].name}, {images[0].name}"
        raise QuaintError("QC212", what, where=str(path), hint="one folder for each kind")
    if images:
        return ImageColumn(images, spec, layout, str(path))
    if not arrays:
        hint = f"looked for .npy, {', '.join(sorted(SUFFIXES))}"
        raise QuaintError("QC201", "no samples: the folder holds no arrays and no images", where=str(path), hint=hint)
    return ChainedColumn([fitted(NpyFile(entry), spec, layout) for entry in arrays], str(path))


def _entries(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


@contextlib.contextmanager
def _unreadable_is_qc200(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise QuaintError("QC200", f"cannot be read: {error.strerror or error}", where=os.fspath(path)) from error


def _existing(path: Path) -> Path:
    """``path``, if it is a folder or a file with something in it."""
    if path.is_dir():
        return path
    if not path.exists():
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*")], n=1)
        hint = f"did you mean '{near[0]}'?" if near else None
        raise QuaintError("QC200", "no such file or folder", where=str(path.resolve()), hint=hint)
    if not path.is_file():
        raise QuaintError("QC200", "neither a file nor a folder", where=str(path))
    if path.stat().st_size == 0:
        raise QuaintError("QC201", "no samples: the file is empty", where=str(path))
    return path


def _is_zip(path: Path) -> bool:
    """True for an archive, False for an array, by content; the suffix does not matter."""
    with path.open("rb") as stream:
        start = stream.read(len(NPY_MAGIC))
    if start.startswith(ZIP_MAGICS):
        return True
    if start == NPY_MAGIC:
        return False
    hint = "give an .npz or .npy that numpy.savez or numpy.save wrote, or a folder"
    raise QuaintError("QC221", "neither an .npz nor an .npy", where=str(path), hint=hint)


def _warn_about_bytes(columns: Mapping[str, Column], inputs: Sequence[TensorSpec]) -> None:
    for spec in inputs:
        if spec.dtype.kind == "f" and columns[spec.name].dtype == np.uint8:
            text = (
                f"QC207: the samples of input '{spec.name}' are bytes and reach the model as 0 to 255; if it was trained on "
                "other values, give the samples as it takes them"
            )
            warnings.warn(text, QuaintWarning, stacklevel=4)
