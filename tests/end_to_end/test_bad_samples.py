"""Samples that cannot be calibrated on: one line that says what and where, before the work; nothing is written."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from onnx import ModelProto

SAMPLES = 4


@pytest.fixture
def samples_refused(
    refused: Callable[..., str], write: Callable[..., Path], small: ModelProto, tmp_path: Path
) -> Callable[..., str]:
    """``quantize`` must refuse the samples in a file."""

    def call(path: Path, code: str) -> str:
        model = write("model.onnx", small)
        output = ("--output", tmp_path / "out")
        return refused(
            "quantize", model, "--target", "onnx-qdq", "--samples", path, *output, exit_code=SAMPLES, code=code
        )

    return call


@pytest.mark.parametrize(("value", "code", "word"), [(np.nan, "QC203", "NaN"), (-np.inf, "QC204", "infinite")])
def test_no_numbers(
    samples_refused: Callable[..., str],
    write: Callable[..., Path],
    images: NDArray[np.float32],
    value: float,
    code: str,
    word: str,
) -> None:
    images[37, 2, 5, 1] = value
    said = samples_refused(write("samples.npz", {"x": images}), code)
    assert word in said
    assert "sample 37, input 'x', index [2, 5, 1]" in said


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda x: x[:, :, :7], "QC210", ["[40, 3, 7, 8]", "[N, 3, 8, 8]"]),
        (lambda x: x[:, :2], "QC210", ["[40, 2, 8, 8]"]),
        (lambda x: x.transpose(0, 2, 3, 1), "QC211", ["NHWC", "--layout nhwc"]),
        (lambda x: x[:0], "QC201", ["no samples"]),
        (lambda x: x.astype(np.complex64), "QC224", ["complex64"]),
        (lambda x: x.astype("U4"), "QC224", ["U4"]),
        (lambda x: x.astype(object), "QC220", ["Python objects"]),
    ],
    ids=["height", "channels", "nhwc", "empty", "complex", "text", "objects"],
)
def test_wrong_arrays(
    samples_refused: Callable[..., str],
    write: Callable[..., Path],
    images: NDArray[np.float32],
    change: Callable[[NDArray[Any]], NDArray[Any]],
    code: str,
    words: list[str],
) -> None:
    said = samples_refused(write("samples.npz", {"x": change(images)}), code)
    for word in words:
        assert word in said


def test_the_hint_for_nhwc_works(
    run_cli: Callable[..., Any], write: Callable[..., Path], images: NDArray[np.float32], small: ModelProto
) -> None:
    model, last = write("model.onnx", small), write("last.npz", {"x": images.transpose(0, 2, 3, 1)})
    first = write("first.npz", {"x": images})
    digests = [
        run_cli("quantize", model, "--target", "onnx-qdq", "--samples", *where, "--json").json["samples"]["digest"]
        for where in ((first,), (last, "--layout", "nhwc"))
    ]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("names", "words"),
    [(("x", "y"), ["unknown y"]), (("a", "b"), ["missing x", "unknown a, b"])],
)
def test_unknown_and_missing_keys(
    samples_refused: Callable[..., str],
    write: Callable[..., Path],
    images: NDArray[np.float32],
    names: tuple[str, ...],
    words: list[str],
) -> None:
    said = samples_refused(write("samples.npz", dict.fromkeys(names, images)), "QC212")
    assert "model's inputs: x" in said
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("missing.npz", None, "QC200"),
        ("samples.npz", b"", "QC201"),
        ("samples.npz", b"PK\x03\x04" + bytes(100), "QC221"),
        ("samples.npz", b"1.0,2.0,3.0\n", "QC221"),
        ("samples.npy", b"\x93NUMPY\x01\x00\x10\x00" + b"os.system('true')" * 4, "QC224"),
    ],
    ids=["missing", "empty", "zip", "text", "npy"],
)
def test_not_samples(
    samples_refused: Callable[..., str],
    write: Callable[..., Path],
    tmp_path: Path,
    name: str,
    content: bytes | None,
    code: str,
) -> None:
    path = tmp_path / name if content is None else write(name, content)
    assert name in samples_refused(path, code)


def test_zip_bomb(samples_refused: Callable[..., str], tmp_path: Path) -> None:
    """A quarter of a gigabyte of zeros in a megabyte is refused before anything is inflated."""
    header, mebibytes = io.BytesIO(), 258
    count = mebibytes * 2**20 // (3 * 8 * 8 * 4)
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (count, 3, 8, 8)})
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
        archive.open("x.npy", "w") as member,
    ):
        member.write(header.getvalue())
        for _ in range(mebibytes):
            member.write(bytes(2**20))
    assert "bomb.npz" in samples_refused(tmp_path / "bomb.npz", "QC222")


def test_labels_that_do_not_fit(refused: Callable[..., str], digits: Path, write: Callable[..., Path]) -> None:
    arguments = (
        "compare",
        digits / "digits.onnx",
        "--target",
        "onnx-qdq",
        "--samples",
        digits / "test.npz",
        "--labels",
    )
    said = refused(*arguments, write("few.npz", {"labels": np.zeros(7, np.int64)}), exit_code=SAMPLES, code="QC214")
    assert "7 labels for 450 samples" in said
    real = write("real.npz", {"labels": np.zeros(450, np.float32)})
    refused(*arguments, real, exit_code=SAMPLES, code="QC215")


def test_samples_for_a_run_are_checked_too(
    run_cli: Callable[..., Any], refused: Callable[..., str], write: Callable[..., Path], digits: Path, tmp_path: Path
) -> None:
    calibration = ("--samples", digits / "calibration.npz", "--num-samples", 32)
    run_cli("quantize", digits / "digits.onnx", "--target", "onnx-qdq", *calibration, "--output", tmp_path / "out")
    saved = tmp_path / "out" / "digits.onnx-qdq.onnx"
    wide = write("wide.npz", {"input": np.zeros((2, 1, 8, 9), np.float32)})
    refused("run", saved, "--samples", wide, exit_code=SAMPLES, code="QC210")
    large = write("large.npz", {"input": np.full((2, 1, 8, 8), 300)})
    said = refused("run", saved, "--integers", "--samples", large, exit_code=SAMPLES, code="QC213")
    assert "uint8" in said
