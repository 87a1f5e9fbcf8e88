"""Quantize a PyTorch module for an ESP32, its calibration samples from a ``DataLoader``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import quaint

DIGITS = Path(__file__).parents[1] / "digits"


def network() -> torch.nn.Module:
    """A small classifier of 8x8 images; yours has been trained."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.BatchNorm2d(16),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(16, 32, 3, padding=1),
        torch.nn.SiLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 10),
    )


def main() -> None:
    """Write the files of the chip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="esp32s3")
    parser.add_argument("--output", type=Path, default=Path("build/espdl-pytorch"))
    given = parser.parse_args()

    images = torch.from_numpy(np.load(DIGITS / "calibration.npz")["input"])
    loader = torch.utils.data.DataLoader(images, batch_size=32)
    quantized = quaint.quantize(network(), given.target, loader, example_inputs=images[:1])
    for path in quantized.export(given.output, force=True):
        print(path)


if __name__ == "__main__":
    main()
