"""Quantize a trained PyTorch module for Akida, with 4-bit weights and activations on the first generation."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

import quaint

DIGITS = Path(__file__).parents[1] / "digits"
sys.path.insert(0, str(DIGITS))

import networks  # noqa: E402 - beside the data


def main() -> None:
    """Write the files of the chip and show what the quantized model makes of the test images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="akida1")
    parser.add_argument("--output", type=Path, default=Path("build/akida-pytorch"))
    given = parser.parse_args()

    module = networks.load_weights(networks.digits(), DIGITS / "digits.onnx")
    images = torch.from_numpy(np.load(DIGITS / "calibration.npz")["input"])
    quantized = quaint.quantize(module, given.target, images.numpy(), example_inputs=images[:1])
    for path in quantized.export(given.output, "digits", force=True):
        print(path)

    test = np.load(DIGITS / "test.npz")["input"]
    labels = np.load(DIGITS / "labels.npz")["labels"]
    (logits,) = quantized.run(test).values()
    print(f"{(logits.argmax(axis=1) == labels).mean():.2%} of {len(labels)} digits right")


if __name__ == "__main__":
    main()
