"""Files with random damage: each is refused, or read as what it says; none makes the command line crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from onnx import ModelProto

BUG = 1
ROUNDS = 40


def damaged(content: bytes, rounds: int = ROUNDS) -> Iterator[bytes]:
    """Copies with bytes flipped, cut out, doubled, or set to extreme values; the same every time."""
    rng = np.random.default_rng(len(content))
    for _ in range(rounds):
        data = bytearray(content)
        for _ in range(int(rng.integers(1, 6))):
            # Most of a model are weights, where damage does little: half of it goes to the first and last kilobyte.
            at = int(rng.choice([rng.integers(len(data)), rng.integers(1024), len(data) - 1 - rng.integers(1024)]))
            at = min(max(at, 0), len(data) - 1)
            match int(rng.integers(4)):
                case 0:
                    data[at] ^= 1 << int(rng.integers(8))
                case 1:
                    del data[at : at + int(rng.integers(1, 64))]
                case 2:
                    data[at:at] = data[at : at + int(rng.integers(1, 64))]
                case _:
                    data[at] = int(rng.choice([0, 0x7F, 0x80, 0xFF]))
        yield bytes(data)


@pytest.fixture
def survives(run_cli: Callable[..., Any]) -> Callable[..., None]:
    """The command line ends in any way but with a bug."""

    def check(*args: object, what: str) -> None:
        try:
            run_cli(*args)
        except AssertionError as error:
            text = str(error)
            assert not text.startswith(f"exit code {BUG}\n"), f"{what}\n{text}"
            assert "Traceback" not in text, f"{what}\n{text}"

    return check


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_damaged_models(survives: Callable[..., None], write: Callable[..., Path], small: ModelProto) -> None:
    for index, content in enumerate(damaged(small.SerializeToString())):
        path = write(f"model{index}.onnx", content)
        survives("quantize", path, "--target", "esp32p4", "--num-samples", 2, what=f"round {index}")


def test_damaged_samples(
    survives: Callable[..., None], write: Callable[..., Path], small: ModelProto, tmp_path: Path
) -> None:
    model = write("model.onnx", small)
    whole = write("samples.npz", {"x": np.random.default_rng(0).uniform(0, 1, (4, 3, 8, 8)).astype(np.float32)})
    np.save(tmp_path / "samples.npy", np.load(whole)["x"])
    for name in ("samples.npz", "samples.npy"):
        for index, content in enumerate(damaged((tmp_path / name).read_bytes())):
            path = write(f"{index}{name}", content)
            survives("quantize", model, "--target", "esp32p4", "--samples", path, what=f"{name}, round {index}")


@pytest.mark.parametrize("target_name", ["esp32p4", "akida2"])
def test_damaged_quantized_models(
    target_name: str,
    survives: Callable[..., None],
    run_cli: Callable[..., Any],
    write: Callable[..., Path],
    digits: Path,
    tmp_path: Path,
) -> None:
    samples = ("--samples", digits / "calibration.npz", "--num-samples", 8)
    run_cli("quantize", digits / "digits.onnx", "--target", target_name, *samples, "--output", tmp_path / "out")
    few = write("few.npz", {"input": np.zeros((1, 1, 8, 8), np.float32)})
    content = (tmp_path / "out" / f"digits.{target_name}.onnx").read_bytes()
    for index, broken in enumerate(damaged(content)):
        path = write(f"model{index}.onnx", broken)
        for command in (("run", path, "--samples", few), ("config", path), ("check", path), ("inspect", path)):
            survives(*command, what=f"{command[0]}, round {index}")
