"""Quantize a Keras model for Akida; ``quaint quantize model.keras`` does the same with a file."""

from __future__ import annotations

import argparse
from pathlib import Path

import keras
import numpy as np

import quaint

DIGITS = Path(__file__).parents[1] / "digits"


def network() -> keras.Model:
    """A small classifier of 8x8 images, channel last; yours has been trained.

    A depthwise convolution with a pointwise one and no ReLU between them is one layer of Akida 1.
    """
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.SeparableConv2D(32, 3, padding="same", activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def main() -> None:
    """Write the files of the chip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="akida1")
    parser.add_argument("--output", type=Path, default=Path("build/akida-keras"))
    given = parser.parse_args()

    images = np.load(DIGITS / "calibration.npz")["input"].transpose(0, 2, 3, 1)
    quantized = quaint.quantize(network(), given.target, images)
    for path in quantized.export(given.output, "digits", force=True):
        print(path)


if __name__ == "__main__":
    main()
