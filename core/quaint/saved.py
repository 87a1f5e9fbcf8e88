"""Saved models: an ONNX file that plain onnxruntime runs, and from which the integer model is restored."""

from __future__ import annotations

import hashlib
import json
import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from quaint.config import Config
from quaint.errors import QuaintError
from quaint.pipeline import find_target, front_end, load_model, reads_quantized
from quaint.quantized import Calibration, Quantized
from quaint.refusals import Refusal
from quaint.scope import extended

if TYPE_CHECKING:
    import onnx_ir as ir

#: Metadata of the file that says what made it; its presence tells a saved model from any other ONNX file.
TARGET_KEY, MAKING_KEY = "quaint.target", "quaint.making"
#: Metadata at the end of the file: the SHA-256 of all that goes before.
SEAL_KEY = "quaint.sha256"


def to_bytes(quantized: Quantized) -> bytes:
    """A quantized model as the bytes of a file."""
    from quaint.simulators.saved import to_onnx

    making: dict[str, Any] = {
        "config": quantized.kept_config(),
        "refusals": [vars(refusal) for refusal in quantized.refusals],
        "warnings": list(quantized.warnings),
        "calibration": vars(quantized.calibration) if quantized.calibration else None,
    }
    metadata = {TARGET_KEY: quantized.target.name, MAKING_KEY: json.dumps(making, sort_keys=True)}
    model = to_onnx(quantized.integer, quantized.target.all_kernels(), metadata)
    content = bytes(model.SerializeToString(deterministic=True))
    return content + _seal(content)


def _seal(content: bytes) -> bytes:
    """What is written after ``content``: protobuf takes the rest of a message, here an entry of metadata, as more of it."""
    import onnx

    rest = onnx.ModelProto()
    rest.metadata_props.add(key=SEAL_KEY, value=hashlib.sha256(content).hexdigest())
    return bytes(rest.SerializeToString(deterministic=True))


def is_saved(path: str | Path) -> bool:
    """Whether a file is a saved quantized model; takes no memory, however large the file."""
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(TARGET_KEY.encode()) >= 0
    except (OSError, ValueError):  # ValueError: an empty file
        return False


def load(source: str | Path) -> Quantized | ir.Model:
    """A saved quantized model, or a model of any format that a front end reads.

    Raises:
        QuaintError: for a file that is neither, or whose target is not installed.
    """
    return load_quantized(source) if is_quantized(source) else load_model(source)


def is_quantized(source: Any) -> bool:
    """Whether ``source`` is a file with a quantized model: a saved one, or a chip's own that a front end reads."""
    return isinstance(source, str | Path) and (is_saved(source) or reads_quantized(front_end(source)))


def load_quantized(source: str | Path) -> Quantized:
    """A quantized model: saved by Quaint, or a chip's own file that a front end reads.

    Raises:
        QuaintError: QM106 if it is not one, QM104 if it is damaged, QT300 if its target is not installed.
    """
    import onnx

    from quaint.simulators.saved import from_onnx

    path = Path(source)
    if not path.is_file():
        raise QuaintError("QM101", "the file does not exist", where=str(path.resolve()))
    if not is_saved(path):
        frontend = front_end(path)
        if reads_quantized(frontend):
            return cast("Quantized", frontend(path))
        raise QuaintError("QM106", "not a quantized model", where=str(path), hint="make one with quaint quantize")
    content = path.read_bytes()
    end = len(content) - len(_seal(b""))
    if content[end:] != _seal(content[:end]):
        what = "damaged, or changed since it was saved"
        raise QuaintError("QM104", what, where=str(path), hint="take the original, or quantize again")
    try:
        proto = onnx.load_model_from_string(content)
        integer, metadata = from_onnx(proto)
        making = json.loads(metadata[MAKING_KEY])
        refusals = tuple(Refusal(**refusal) for refusal in making["refusals"])
        calibration = Calibration(**making["calibration"]) if making["calibration"] else None
        config = Config.from_dict(making["config"])
        warnings = tuple(map(str, making["warnings"]))
    except QuaintError:
        raise
    except Exception as error:
        raise QuaintError("QM104", f"truncated or corrupt ({type(error).__name__})", where=str(path)) from error
    return Quantized(
        integer, extended(find_target(metadata[TARGET_KEY])), config, None, refusals, warnings, {}, calibration
    )
