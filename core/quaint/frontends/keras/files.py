"""Reading ``.keras`` and legacy ``.h5`` files without Keras: nothing in them is run, nothing outside them is opened.

A ``.keras`` archive is a zip of ``config.json``, ``metadata.json`` and ``model.weights.h5``; a legacy file is an HDF5 file
with the configuration in its attribute ``model_config`` and the weights in its group ``model_weights``.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from quaint.errors import QuaintError
from quaint.frontends.detect import FORMATS, detect
from quaint.frontends.keras.convert import check
from quaint.frontends.keras.weights import Weights, from_archive, from_legacy

if TYPE_CHECKING:
    import os

    import h5py
    from numpy.typing import NDArray

    from quaint.frontends.keras.config import Entry
    from quaint.frontends.limits import Limits

#: How much larger than its stored bytes a file may become in memory, after ``SLACK`` bytes.
MAX_INFLATION, SLACK = 200, 1 << 20


def read(path: str | os.PathLike[str], limits: Limits) -> tuple[Entry, Weights, int]:
    """The configuration, the weights and the major version of Keras of a saved model.

    Raises:
        QuaintError: those of `convert.check`; QM101 no such file; QM102 empty; QM103 not a Keras model; QM104 truncated
            or corrupt; QM131 too large; QM140 points to data outside the file; QP530 h5py is not installed.
    """
    file = Path(path)
    try:
        found = detect(file)
        limits.check_model(file.stat().st_size, str(file))
        if found == "keras":
            return _read_archive(file, limits)
        if found == "h5":
            with file.open("rb") as stream:
                return _read_legacy(stream, str(file), limits)
    except FileNotFoundError as error:
        raise QuaintError("QM101", "the file does not exist", where=str(file.resolve())) from error
    except (zipfile.BadZipFile, json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise QuaintError("QM104", f"truncated or corrupt: {error}", where=str(file)) from error
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise QuaintError("QM104", f"malformed Keras model: {error!r}", where=str(file)) from error
    what, hint = FORMATS[found]
    code = "QM102" if found == "empty" else "QM103"
    raise QuaintError(code, f"{what}, not a Keras model", where=str(file), hint=hint)


def _read_archive(file: Path, limits: Limits) -> tuple[Entry, Weights, int]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            limits.check_model(info.file_size, str(file))
            if info.file_size > MAX_INFLATION * info.compress_size + SLACK:
                raise QuaintError("QM131", f"member {info.filename!r} inflates too much", where=str(file))
        model = json.loads(archive.read("config.json"))
        check(model)
        version = _major(json.loads(archive.read("metadata.json"))["keras_version"], str(file))
        with _hdf5(io.BytesIO(archive.read("model.weights.h5")), str(file)) as weights:
            reader = _Reader(limits, str(file))
            reader.check(weights)
            return model, from_archive(model, weights, reader.read), version


def _read_legacy(stream: IO[bytes], where: str, limits: Limits) -> tuple[Entry, Weights, int]:
    with _hdf5(stream, where) as file:
        reader = _Reader(limits, where)
        reader.check(file)
        if "model_config" not in file.attrs:
            hint = "save the whole model, not only its weights"
            raise QuaintError("QM103", "an HDF5 file without a Keras model", where=where, hint=hint)
        model = json.loads(file.attrs["model_config"])
        check(model)
        return model, from_legacy(model, file["model_weights"], reader.read), _major(file.attrs["keras_version"], where)


def _major(version: Any, where: str) -> int:
    text = version.decode() if isinstance(version, bytes) else str(version)
    major = int(text.split(".")[0])
    if major < 2:
        hint = "load it with tf_keras and save it again"
        raise QuaintError("QM110", f"saved by Keras {text}; 2 and later are supported", where=where, hint=hint)
    return major


def _hdf5(stream: IO[bytes], where: str) -> h5py.File:
    try:
        import h5py
    except ImportError as error:
        hint = "pip install 'quaint[keras]'"
        raise QuaintError("QP530", "reading Keras files needs h5py", where=where, hint=hint) from error
    return h5py.File(stream, "r")


class _Reader:
    """Reads datasets of one HDF5 file within limits."""

    def __init__(self, limits: Limits, where: str) -> None:
        self._limits, self._where = limits, where

    def check(self, file: h5py.File) -> None:
        """Refuse whatever leads out of the file, and datasets that are far larger than what is stored of them."""
        import h5py

        links: list[tuple[str, Any]] = []
        file.visititems_links(lambda name, link: links.append((name, link)))
        total = 0
        for name, link in links:
            if not isinstance(link, h5py.HardLink):
                raise QuaintError("QM140", f"{name!r} is a link", where=self._where)
            item = file[name]
            if isinstance(item, h5py.Dataset):
                total += self._size(name, item)
        self._limits.check_model(total, self._where)

    def _size(self, name: str, dataset: h5py.Dataset) -> int:
        if dataset.external or dataset.is_virtual:
            raise QuaintError("QM140", f"the data of {name!r} lie in another file", where=self._where)
        nbytes: int = math.prod(dataset.shape or ()) * dataset.dtype.itemsize
        self._limits.check_tensor(nbytes, name, self._where)
        if nbytes > MAX_INFLATION * dataset.id.get_storage_size() + SLACK:
            raise QuaintError("QM131", f"{name!r} inflates too much", where=self._where)
        return nbytes

    @staticmethod
    def read(dataset: h5py.Dataset) -> NDArray[Any]:
        """The whole dataset."""
        return np.asarray(dataset[()])
