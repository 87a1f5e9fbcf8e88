"""Everything that goes into an output folder, by file name: what is deployed, the report and the manifest."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from quaint.errors import QuaintWarning
from quaint.files import hash_file
from quaint.plugins import registry
from quaint.report.analysis import analyze
from quaint.report.cost import cost
from quaint.report.sealing import seal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from quaint.quantized import Quantized
    from quaint.report.report import Report
    from quaint.target import Target

REPORTS = ("report.json", "report.html", "manifest.json")
LIBRARIES = ("numpy", "onnx", "onnx-ir", "onnxruntime")
GOLDEN_SAMPLES = 1


def expected_files(name: str, target: Target) -> list[str]:
    """Names of the files that a build is sure to have; those of an exporter are known only when it has run."""
    return [f"{name}.{target.name}.onnx", *REPORTS]


def safe_name(name: str) -> str:
    """``name`` as the stem of a file's name on any system."""
    kept = re.sub(r"[^\w.-]+", "_", name).strip("._")[:100]
    return kept or "model"


class Built(NamedTuple):
    """The files by name, and the report among them; no report where there are no samples."""

    files: dict[str, bytes]
    report: Report | None


def build(quantized: Quantized, name: str, *, model_file: Path | None = None, analysis: bool = True) -> Built:
    """The files; the same bytes for the same inputs.

    Args:
        quantized: the model; where it was loaded from a file there are no samples, hence no report and no golden vectors.
        name: stem of the files' names.
        model_file: the float model's file, for its hash.
        analysis: compare the model with its float source for the report.
    """
    report = None
    with ThreadPoolExecutor(1) as pool:  # onnxruntime measures while Python writes
        measured = pool.submit(analyze, quantized, quantized.samples if analysis else None)
        files = quantized.files(name)
        measuring = measured.result()
    for remark in remarks(quantized, files):
        warnings.warn(remark, QuaintWarning, stacklevel=2)
    if quantized.samples is not None:
        report = replace(measuring, cost=cost(quantized, files))
        files |= {"report.json": report.to_json(), "report.html": report.to_html()}
    # a session that nothing else needs takes longer to make than the reference takes for one sample
    facts = manifest(quantized, files, model_file, "onnxruntime" if analysis else "reference")
    return Built(files | {"manifest.json": seal(facts)}, report)


def remarks(quantized: Quantized, files: Mapping[str, bytes]) -> Sequence[str]:
    """What the target's exporter has to say of its files."""
    if quantized.target.exporter is None:
        return ()
    exporter = registry().get("quaint_exporters", quantized.target.exporter, code="QP524")
    return tuple(exporter.remarks(quantized, files)) if hasattr(exporter, "remarks") else ()


def manifest(
    quantized: Quantized, files: Mapping[str, bytes], model_file: Path | None, simulator: str
) -> dict[str, Any]:
    """How the files were made and what they must give: versions, hashes, parameters of every tensor, golden vectors."""
    integer, calibration = quantized.integer, quantized.calibration
    return {
        "quaint": _version("quaint"),
        "plugin": _plugin_of(quantized.target.name),
        "libraries": {library: _version(library) for library in LIBRARIES},
        "target": quantized.target.name,
        "config": quantized.kept_config(),
        "model": {
            "name": integer.name,
            "file": model_file.name if model_file else None,
            "sha256": hash_file(model_file) if model_file else None,
        },
        "samples": vars(calibration) if calibration else None,
        "warnings": list(quantized.warnings),
        "tensors": {name: params.to_dict() for name, params in integer.tensors.items()},
        "golden": golden(quantized, simulator),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
    }


def golden(quantized: Quantized, simulator: str) -> dict[str, Any] | None:
    """The chip's integers for the first samples: those that enter and those that leave."""
    if quantized.samples is None:
        return None
    model = quantized.integer
    batch = next(iter(quantized.samples.batches(model.shapes[model.inputs[0]][0] or GOLDEN_SAMPLES)))
    values: dict[str, NDArray[Any]] = {
        **batch,
        **quantized.run(batch, simulator=simulator, outputs=quantized.all_tensors),
    }
    return {
        "inputs": _encoded(values, model.integer_inputs),
        "outputs": _encoded(values, model.integer_outputs),
    }


def _encoded(values: Mapping[str, NDArray[Any]], names: Sequence[str]) -> dict[str, Any]:
    """Arrays as dtype, shape and base64 of their little-endian bytes in C order."""
    arrays = {name: np.ascontiguousarray(values[name]) for name in names}
    return {
        name: {
            "dtype": str(array.dtype),
            "shape": list(array.shape),
            "base64": base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode(),
        }
        for name, array in arrays.items()
    }


def _plugin_of(target: str) -> dict[str, str] | None:
    """The plugin that offers a target; None for a target that no plugin does."""
    makers = [plugin for component, plugin in registry().components("quaint_targets") if component.name == target]
    found = next((info for info in registry().plugins if info.name in makers), None)
    return {"name": found.name, "distribution": found.distribution, "version": found.version} if found else None


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
