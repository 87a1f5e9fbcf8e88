"""Keras models with every layer that Akida 2 runs: on the chip to the end, and near the float model."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from akida_nets import noise, ops
from click.testing import CliRunner

from quaint import pipeline
from quaint.cli.group import quaint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

keras = pytest.importorskip("keras")
L = keras.layers


def conv(x: Any, filters: int = 8, kernel: int = 3, **settings: Any) -> Any:
    return L.Conv2D(filters, kernel, padding="same", **settings)(x)


def normalized(x: Any) -> Any:
    """A batch normalization that does something."""
    uniform, normal = keras.initializers.RandomUniform(0.5, 1.5), "random_normal"
    inits = {"gamma_initializer": uniform, "moving_variance_initializer": uniform}
    return L.BatchNormalization(beta_initializer=normal, moving_mean_initializer=normal, **inits, name="norm")(x)


def residual(x: Any) -> Any:
    return L.Add()([x, conv(x, activation="relu")])


def transposed_depthwise(x: Any) -> Any:
    """As QuantizeML's DepthwiseConv2DTranspose: Keras itself has it as a nearest upsampling."""
    return conv(L.UpSampling2D(2)(x), 4, activation="relu")


#: What follows a convolution with ReLU and 8 channels of 8 x 8, and the layers that come of it on the chip.
CASES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "gelu": (lambda x: conv(x, activation="gelu"), "conv2d"),
    "silu": (lambda x: L.Activation("silu")(conv(x)), "conv2d"),
    "hard_silu": (lambda x: L.Activation("hard_silu")(conv(x)), "conv2d"),
    "leaky_relu": (lambda x: L.LeakyReLU(negative_slope=0.2)(conv(x)), "conv2d"),
    "prelu": (lambda x: L.PReLU(shared_axes=[1, 2], alpha_initializer="ones")(conv(x)), "conv2d"),
    "relu6": (lambda x: L.ReLU(6.0)(conv(x)), "conv2d"),
    "silu of a sum": (lambda x: L.Activation("silu")(residual(x)), "conv2d conv2d shifted_add conv2d"),
    "transposed": (
        L.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu"),
        "conv2d_transpose",
    ),
    "transposed by table": (
        L.Conv2DTranspose(4, 4, strides=2, padding="same", activation="gelu"),
        "conv2d_transpose",
    ),
    "transposed depthwise": (transposed_depthwise, "conv2d_transpose conv2d"),
    "depthwise": (L.DepthwiseConv2D(3, padding="same", activation="relu"), "conv2d"),
    "separable": (L.SeparableConv2D(8, 3, padding="same", activation="relu"), "conv2d conv2d"),
    "separable stride": (L.SeparableConv2D(8, 3, strides=2, padding="same"), "conv2d conv2d"),
    "permute": (L.Permute((3, 1, 2)), ""),
    "reshape": (L.Reshape((512,)), ""),
    "reshape of a pixel": (lambda x: conv(L.Reshape((1, 1, 8))(L.GlobalAveragePooling2D()(x)), 4, 1), "conv2d dense1d"),
    "dropout": (lambda x: L.Dropout(0.5)(conv(x, activation="relu")), "conv2d"),
    "pooling": (lambda x: L.MaxPooling2D(2)(conv(x, activation="relu")), "conv2d conv2d"),
    "padding": (lambda x: L.Conv2D(8, 3, strides=2)(L.ZeroPadding2D(((0, 1), (0, 1)))(x)), "conv2d"),
    "average": (L.AveragePooling2D(2), "conv2d"),
    "normalization": (lambda x: L.ReLU()(normalized(conv(x, use_bias=False))), "conv2d"),
    "normalization of a transposed": (
        lambda x: L.ReLU()(normalized(L.Conv2DTranspose(4, 3, strides=2, padding="same")(x))),
        "conv2d_transpose",
    ),
    "normalization after ReLU": (lambda x: conv(normalized(x), activation="relu"), "conv2d conv2d"),
    "normalization of a sum": (
        lambda x: conv(L.ReLU()(normalized(residual(x)))),
        "conv2d conv2d shifted_add conv2d conv2d",
    ),
    "normalization after pooling": (lambda x: L.ReLU()(normalized(L.MaxPooling2D(2)(conv(x)))), "conv2d conv2d"),
    "normalization after an average": (lambda x: normalized(L.GlobalAveragePooling2D()(x)), "conv2d"),
    "normalization of two": (
        lambda x: conv(normalized(L.Concatenate()([x, conv(x)]))),
        "conv2d conv2d concatenate conv2d conv2d",
    ),
}


def model(behind: Callable[[Any], Any]) -> Any:
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), dtype="uint8", name="input")
    x = behind(conv(L.Rescaling(1 / 255)(image), activation="relu"))
    return keras.Model(image, L.Dense(5, name="dense")(L.Flatten()(x)), name="net")


def images() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (32, 8, 8, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", CASES)
def test_on_the_chip(name: str) -> None:
    behind, wanted = CASES[name]
    float_model = model(behind)
    made = pipeline.quantize(float_model, "akida2", images())
    assert not made.refusals
    truth = np.asarray(float_model(images()))
    assert noise(made, images(), truth) < 0.005
    found = [op for op in ops(made) if op not in {"transpose", "reshape"}]
    assert found == ["conv2d", *wanted.split(), "dense1d", "dequantizer"]


def test_the_command_line(tmp_path: Path) -> None:
    behind, _ = CASES["separable"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras' own: NumPy 2 copies arrays differently
        model(behind).save(tmp_path / "net.keras")
    np.savez(tmp_path / "samples.npz", input=images())
    args = ("quantize", tmp_path / "net.keras", "--target", "akida2", "--samples", tmp_path / "samples.npz")
    done = CliRunner().invoke(quaint, [*map(str, args), "--output", str(tmp_path / "made")])
    assert done.exit_code == 0, done.output
    assert "not on the chip" not in done.output
    assert (tmp_path / "made" / "net.akida2.onnx").exists()
