"""Quantize an ONNX model for Akida: ``python examples/akida/from_onnx.py --target akida1 --output build/akida``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import quaint

DIGITS = Path(__file__).parents[1] / "digits"


def main() -> None:
    """Write the files of the chip and show what the quantized model makes of the test images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="akida1")
    parser.add_argument("--output", type=Path, default=Path("build/akida"))
    given = parser.parse_args()

    quantized = quaint.quantize(DIGITS / "digits.onnx", given.target, DIGITS / "calibration.npz")
    for path in quantized.export(given.output, force=True):
        print(path)

    test = np.load(DIGITS / "test.npz")["input"]
    labels = np.load(DIGITS / "labels.npz")["labels"]
    right = (quantized.run(test)["logits"].argmax(axis=1) == labels).mean()
    print(f"{right:.2%} of {len(labels)} digits right")


if __name__ == "__main__":
    main()
