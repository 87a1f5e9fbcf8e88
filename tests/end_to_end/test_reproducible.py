"""The same inputs give the same bytes: in another process, another folder, with other hashes of strings."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("samples", [True, False], ids=["samples", "random"])
def test_same_bytes_from_two_processes(
    target: str,
    samples: bool,
    start_cli: Callable[..., subprocess.Popen[str]],
    contents: Callable[[Path], dict[str, str]],
    digits: Path,
    tmp_path: Path,
) -> None:
    found = []
    for seed, place in (("1", "one"), ("4242", "a second place/deeper")):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        shutil.copy(digits / "digits.onnx", folder)
        shutil.copy(digits / "calibration.npz", folder)
        given = ("--samples", "calibration.npz") if samples else ("--num-samples", 64, "--seed", 5)
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": "UTC" if seed == "1" else "Asia/Tokyo"}
        arguments = ("quantize", "digits.onnx", "--target", target, *given, "--output", "out")
        process = start_cli(*arguments, cwd=folder, env=environment)
        _, err = process.communicate(timeout=180)
        assert process.returncode == 0, err
        found.append(contents(folder / "out"))
    assert found[0] == found[1]
    assert {f"digits.{target}.onnx", "report.json", "report.html", "manifest.json"} <= set(found[0])


def test_the_order_of_samples_and_batches_does_not_matter(
    run_cli: Callable[..., Any], digits: Path, digits_arrays: dict[str, Any], tmp_path: Path, write: Callable[..., Path]
) -> None:
    """Ranges are extremes: the chip's program is the same for any order of the samples and any size of the batches."""
    shuffled = write("shuffled.npz", {"input": digits_arrays["calibration"][::-1]})
    cases = {
        "plain": ("--samples", digits / "calibration.npz"),
        "batches": ("--samples", digits / "calibration.npz", "-b", 7),
        "order": ("--samples", shuffled),
    }
    programs = []
    for name, given in cases.items():
        run_cli("quantize", digits / "digits.onnx", "--target", "esp32p4", *given, "--output", tmp_path / name)
        programs.append((tmp_path / name / "digits.esp32p4.json").read_bytes())
    assert programs[0] == programs[1] == programs[2]
