"""QuantizeML's Keras layers: files that have them are read without their code, and equal it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import pytest
from akida_nets import noise, run_float

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.frontends.keras import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

keras = pytest.importorskip("keras")

TOKENS, CHANNELS, HEADS = 8, 16, 4


def shiftmax(x: Any) -> Any:
    whole = keras.ops.floor(x)
    logits = whole - keras.ops.max(whole, axis=-1, keepdims=True)
    total = keras.ops.sum(keras.ops.power(2.0, logits), axis=-1, keepdims=True)
    return keras.ops.power(2.0, logits - keras.ops.round(keras.ops.log2(total)))


class Shiftmax(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return shiftmax(x)


class Attention(keras.layers.Layer):
    def __init__(self, num_heads: int, softmax: str = "softmax", **rest: Any) -> None:
        super().__init__(**rest)
        self.num_heads, self.softmax = num_heads, softmax

    def call(self, inputs: Any) -> Any:
        q, k, v = (keras.ops.transpose(self.split(x), [0, 2, 1, 3]) for x in inputs)
        scores = q @ keras.ops.transpose(k, [0, 1, 3, 2]) * 2.0 ** -np.round(np.log2(q.shape[-1]) / 2)
        mask = shiftmax(scores) if self.softmax == "shiftmax" else keras.ops.softmax(scores)
        return keras.ops.reshape(keras.ops.transpose(mask @ v, [0, 2, 1, 3]), (-1, *inputs[0].shape[1:])), mask

    def split(self, x: Any) -> Any:
        return keras.ops.reshape(x, (-1, x.shape[1], self.num_heads, x.shape[2] // self.num_heads))

    def get_config(self) -> Any:
        return super().get_config() | {"num_heads": self.num_heads, "softmax": self.softmax}


class LayerMadNormalization(keras.layers.LayerNormalization):
    def call(self, x: Any) -> Any:
        return x / keras.ops.mean(keras.ops.abs(x), axis=-1, keepdims=True) * self.gamma + self.beta


class ClassToken(keras.layers.Layer):
    def build(self, shape: Any) -> None:
        self.cls = self.add_weight(shape=(1, 1, shape[-1]), name="cls", initializer="random_normal")

    def call(self, x: Any) -> Any:
        return keras.ops.concatenate([keras.ops.tile(self.cls, (keras.ops.shape(x)[0], 1, 1)), x], axis=1)


class AddPositionEmbs(keras.layers.Layer):
    def build(self, shape: Any) -> None:
        self.pe = self.add_weight(shape=(1, *shape[1:]), name="pos_embedding", initializer="random_normal")

    def call(self, x: Any) -> Any:
        return x + self.pe


class ExtractToken(keras.layers.Layer):
    def __init__(self, token: int, **rest: Any) -> None:
        super().__init__(**rest)
        self.token = token

    def call(self, x: Any) -> Any:
        return x[:, self.token]

    def get_config(self) -> Any:
        return super().get_config() | {"token": self.token}


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Under Keras' default package, as QuantizeML does."""
    before = dict(keras.saving.get_custom_objects())
    for layer in (Shiftmax, Attention, LayerMadNormalization, ClassToken, AddPositionEmbs, ExtractToken):
        keras.saving.register_keras_serializable()(layer)
    yield
    keras.saving.get_custom_objects().clear()
    keras.saving.get_custom_objects().update(before)


def encoder(softmax: str = "shiftmax", *, mask: bool = False) -> Any:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((TOKENS, CHANNELS), name="input")
    x = AddPositionEmbs(name="positions")(ClassToken(name="token")(inputs))
    y = LayerMadNormalization(name="first_norm")(x)
    qkv = [keras.layers.Dense(CHANNELS, name=name)(y) for name in ("query", "key", "value")]
    y, weights = Attention(HEADS, softmax, name="attention")(qkv)
    x = keras.layers.Add(name="residual")([x, keras.layers.Dense(CHANNELS, name="projection")(y)])
    x = ExtractToken(0, name="taken")(LayerMadNormalization(name="last_norm")(x))
    output = keras.layers.Dense(10, name="head")(x)
    return keras.Model(inputs, [output, weights] if mask else output, name="encoder")


def save(model: Any, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras' own: the .h5 format is old, NumPy 2 copies arrays differently
        model.save(path)


def samples() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).uniform(-1, 1, (32, TOKENS, CHANNELS)).astype(np.float32)


@pytest.mark.parametrize("softmax", ["shiftmax", "softmax"])
@pytest.mark.parametrize("suffix", [".keras", ".h5", None])
def test_equals_keras(softmax: str, suffix: str | None, tmp_path: Path) -> None:
    model, x = encoder(softmax), samples()
    source = model
    if suffix is not None:
        source = tmp_path / f"encoder{suffix}"
        save(model, source)
    made = ir.to_proto(load(source))
    np.testing.assert_allclose(run_float(made, x), model.predict(x, verbose=0), atol=2e-5)


def test_shiftmax_equals_keras() -> None:
    inputs = keras.Input((4, 6), name="input")
    model = keras.Model(inputs, Shiftmax(name="shiftmax")(inputs))
    x = np.random.default_rng(1).uniform(-4, 4, (8, 4, 6)).astype(np.float32)
    np.testing.assert_array_equal(run_float(ir.to_proto(load(model)), x), model.predict(x, verbose=0))


def test_quantizes_to_integer_layers(tmp_path: Path) -> None:
    model, x = encoder(), samples()
    save(model, tmp_path / "encoder.keras")
    wishes = Config(beyond_hardware=True, input_dtype="int8")
    made = pipeline.quantize(tmp_path / "encoder.keras", "akida2", x, wishes)
    ops = [layer.op for layer in made.integer.layers]
    head = ["input_quantizer", "class_token", "add_position_embs", "layer_mad_normalization", *["token_dense"] * 3]
    tail = ["attention", "token_dense", "token_add", "layer_mad_normalization", "extract_token", "dense1d"]
    assert ops == [*head, *tail, "dequantizer"]
    (name,) = made.integer.outputs
    truth, result = model.predict(x, verbose=0), made.run(x)[name]
    np.testing.assert_array_equal(made.run(x, simulator="reference")[name], result)
    assert ((result - truth) ** 2).sum() < 0.03 * (truth**2).sum()


def test_the_mask_is_no_output() -> None:
    with pytest.raises(QuaintError, match=r"QM150.*output 1"):
        load(encoder(mask=True))


class DepthwiseConv2DTranspose(keras.layers.Layer):
    def __init__(self, kernel_size: Any, activation: Any = "linear", **rest: Any) -> None:
        super().__init__(**rest)
        self.kernel_size, self.activation = list(np.broadcast_to(kernel_size, 2).tolist()), activation

    def build(self, shape: Any) -> None:
        self.channels = shape[-1]
        self.kernel = self.add_weight(shape=(*self.kernel_size, self.channels, 1), name="depthwise_kernel")
        self.bias = self.add_weight(shape=(self.channels,), name="bias", initializer="random_normal")

    def call(self, x: Any) -> Any:
        maps = [
            keras.ops.conv_transpose(x[..., i : i + 1], self.kernel[:, :, i : i + 1], strides=2, padding="same")
            for i in range(self.channels)
        ]
        return keras.ops.concatenate(maps, axis=-1) + self.bias

    def get_config(self) -> Any:
        given = {"kernel_size": self.kernel_size, "strides": [2, 2], "padding": "same", "use_bias": True}
        return super().get_config() | given | {"activation": self.activation}


class BufferTempConv(keras.layers.Layer):
    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(1, 1, 3 * shape[-1], 4), name="kernel")

    def call(self, x: Any) -> Any:
        return x[..., :1] * keras.ops.sum(self.kernel)

    def get_config(self) -> Any:
        return super().get_config() | {"filters": 4, "kernel_size": 3, "use_bias": False}


def upsampled(kernel: int, activation: str = "linear") -> Any:
    keras.utils.set_random_seed(0)
    keras.saving.register_keras_serializable()(DepthwiseConv2DTranspose)
    inputs = keras.Input((6, 5, 3), name="input")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    x = keras.layers.ReLU()(DepthwiseConv2DTranspose(kernel, activation, name="up")(x))
    return keras.Model(inputs, keras.layers.Conv2D(4, 1)(x), name="upsampled")


@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("suffix", [".keras", ".h5", None])
def test_a_transposed_convolution_of_each_channel(kernel: int, suffix: str | None, tmp_path: Path) -> None:
    model = source = upsampled(kernel)
    x = np.random.default_rng(0).uniform(-1, 1, (32, 6, 5, 3)).astype(np.float32)
    if suffix is not None:
        source = tmp_path / f"upsampled{suffix}"
        save(model, source)
    truth = model.predict(x, verbose=0)
    np.testing.assert_allclose(run_float(ir.to_proto(load(source)), x), truth, atol=2e-5)
    made = pipeline.quantize(source, "akida2", x)
    assert not made.refusals
    assert "conv2d_transpose" in [layer.op for layer in made.integer.layers]


def test_what_their_layers_cannot_say_is_refused() -> None:
    with pytest.raises(QuaintError, match=r"QM150.*an activation, which belongs into a layer of its own.*in up"):
        load(upsampled(3, "relu"))
    keras.saving.register_keras_serializable()(BufferTempConv)
    inputs = keras.Input((6, 6, 2), name="input")
    with pytest.raises(QuaintError, match=r"QM150.*BufferTempConv remembers frames between calls.*Conv3D over .frames"):
        load(keras.Model(inputs, BufferTempConv(name="buffer")(inputs)))


def frames(groups: int = 1) -> Any:
    """The form that is read instead: time is an axis."""
    inputs = keras.Input((6, 8, 8, 3), dtype="uint8", name="input")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv3D(8, (1, 3, 3), padding="same", activation="relu")(x)
    x = keras.layers.Conv3D(8, (4, 1, 1), groups=groups, activation="relu")(
        keras.layers.ZeroPadding3D(((3, 0), (0, 0), (0, 0)))(x)
    )
    return keras.Model(inputs, keras.layers.Conv3D(4, (1, 3, 3), padding="same", activation="hard_silu")(x))


def series() -> Any:
    inputs = keras.Input((16, 6), name="input")
    x = keras.layers.Conv1D(8, 1, activation="relu")(inputs)
    x = keras.layers.Conv1D(8, 5, padding="causal", activation="relu")(x)
    return keras.Model(inputs, keras.layers.Conv1D(4, 1)(x))


@pytest.mark.parametrize("make", [frames, lambda: frames(8), series])
def test_streams(make: Any) -> None:
    keras.utils.set_random_seed(0)
    model, random = make(), np.random.default_rng(0)
    shape = (32, *model.input_shape[1:])
    if model.input.dtype == "uint8":
        x, wishes = random.integers(0, 256, shape).astype(np.uint8), Config()
    else:
        x, wishes = random.uniform(-1, 1, shape).astype(np.float32), Config(input_dtype="int8")
    made = pipeline.quantize(model, "akida2", x, wishes)
    assert not made.refusals
    found = [layer.op for layer in made.integer.integer_layers if layer.op != "transpose"]
    assert found == ["conv2d", "buffer_temp_conv", "conv2d"]
    assert noise(made, x, np.asarray(model(x))) < 0.005
