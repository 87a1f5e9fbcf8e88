"""Quantize the digits for two chips, compare them, save, run and export: the public interface in one page.

Run it anywhere: ``python examples/quantize_digits.py --output build/example``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import quaint

DIGITS = Path(__file__).parent / "digits"
TARGETS = ("esp32p4", "akida1")


def main() -> None:
    """Print a table and write the files of both chips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/example"))
    folder = parser.parse_args().output

    calibration = np.load(DIGITS / "calibration.npz")["input"]  # float32 [256, 1, 8, 8]
    test = np.load(DIGITS / "test.npz")["input"]  # float32 [450, 1, 8, 8]
    labels = np.load(DIGITS / "labels.npz")["labels"]  # int64 [450]

    print(f"{'target':8}  {'right':>7}  {'noise':>7}  {'constants':>9}  files")
    for target in TARGETS:
        quantized = quaint.quantize(DIGITS / "digits.onnx", target, calibration)
        files = quantized.export(folder / target, force=True)

        # What was saved is what was made: the same integers, in either simulator.
        saved = quaint.load(folder / target / f"digits.{target}.onnx")
        logits = saved.run(test)["logits"]
        assert np.array_equal(logits, quantized.run(test, simulator="reference")["logits"])

        report = quantized.analyze(test)
        right = np.mean(logits.argmax(axis=1) == labels)
        noise, size = report.outputs["logits"], report.totals["parameter_bytes"]
        print(f"{target:8}  {right:7.2%}  {noise:7.3%}  {size:7} B  {len(files)}")

    # Four-bit weights for one layer of the second chip become two-bit ones: the price in accuracy.
    config = quaint.Config(layers={"pointwise3": {"weight_bits": 2}})
    smaller = quaint.quantize(DIGITS / "digits.onnx", "akida1", calibration, config)
    right = np.mean(smaller.run(test)["logits"].argmax(axis=1) == labels)
    print(f"akida1 with 2-bit weights in one layer: {right:.2%} right")


if __name__ == "__main__":
    main()
