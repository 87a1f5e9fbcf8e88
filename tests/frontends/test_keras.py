"""The ONNX that the Keras front end gives computes what Keras computes: both Kerases, in memory and from files."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from quaint.errors import QuaintError
from quaint.frontends.keras import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module", params=["keras", "tf_keras"])
def k(request: pytest.FixtureRequest) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
        return pytest.importorskip(request.param, reason=f"{request.param} is not installed")


def chain(k: Any, shape: tuple[int, ...], *layers: Any) -> Any:
    return k.Sequential([k.Input(shape, name="image"), *layers])


def net(k: Any) -> Any:
    layers = k.layers
    return chain(
        k,
        (8, 8, 1),
        layers.Conv2D(8, 3, padding="same", name="conv"),
        layers.ReLU(name="relu"),
        layers.MaxPooling2D(2, name="pool"),
        layers.DepthwiseConv2D(3, padding="same", name="depthwise"),
        layers.Conv2D(12, 1, activation="relu", name="pointwise"),
        layers.GlobalAveragePooling2D(name="gap"),
        layers.Dense(3, name="dense"),
    )


def mobile(k: Any) -> Any:
    layers = k.layers
    return chain(
        k,
        (9, 9, 3),
        layers.Rescaling(1 / 127.5, offset=-1.0),
        layers.ZeroPadding2D(((0, 1), (0, 1))),
        layers.Conv2D(6, 3, strides=2, use_bias=False),
        layers.BatchNormalization(name="bn"),
        layers.ReLU(6.0),
        layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2, use_bias=False),
        layers.BatchNormalization(scale=False, name="bn2"),
        layers.Activation("relu6"),
        layers.Dropout(0.5),
        layers.Flatten(),
        layers.Dense(5, activation="softmax"),
    )


def residual(k: Any) -> Any:
    layers = k.layers
    x = image = k.Input((8, 6, 4), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="swish", groups=2)(x)
    x = layers.Add()([x, image])
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(x)
    squeezed = layers.Conv2D(4, 1, activation="hard_sigmoid")(squeezed)
    x = layers.Multiply()([x, squeezed])
    y = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    x = layers.Concatenate(name="joined")([x, y, layers.Subtract()([x, y])])
    x = layers.Average()([x, x, layers.Maximum()([x, layers.LeakyReLU()(x)])])
    return k.Model(image, [layers.GlobalMaxPooling2D(name="max")(x), x])


def segmentation(k: Any) -> Any:
    layers = k.layers
    return chain(
        k,
        (10, 12, 2),
        layers.SeparableConv2D(6, 3, strides=2, padding="same", activation="elu"),
        layers.Conv2D(5, 3, dilation_rate=2, padding="same"),
        layers.PReLU(shared_axes=[1, 2], alpha_initializer="random_normal"),
        layers.UpSampling2D(2),
        layers.Conv2DTranspose(4, 3, strides=2, padding="same"),
        layers.UpSampling2D((2, 1), interpolation="bilinear"),
        layers.Cropping2D(((1, 2), (0, 3))),
        layers.Conv2DTranspose(3, 2, strides=3, activation="tanh"),
        layers.Conv2DTranspose(3, 4, strides=2, padding="same", output_padding=1),
        layers.Softmax(),
    )


def sequence(k: Any) -> Any:
    layers = k.layers
    return chain(
        k,
        (20, 3),
        layers.Conv1D(8, 4, padding="causal", dilation_rate=2, activation="gelu"),
        layers.LayerNormalization(),
        layers.MaxPooling1D(2, strides=1),
        layers.Conv1D(4, 3, strides=2, padding="same", activation="selu"),
        layers.BatchNormalization(name="bn"),
        layers.Dense(6, activation="sigmoid"),
        layers.GlobalAveragePooling1D(),
    )


def shapes(k: Any) -> Any:
    layers = k.layers
    return chain(
        k,
        (4, 6, 2),
        layers.Permute((2, 1, 3)),
        layers.Reshape((6, 8)),
        layers.Conv1D(6, 3),
        layers.Reshape((2, 2, -1)),
        layers.PReLU(alpha_initializer="random_normal"),
        layers.Conv2D(4, 2),
        layers.ReLU(max_value=1.0, negative_slope=0.25, threshold=0.125),
        layers.Flatten(),
        layers.ReLU(negative_slope=0.5, max_value=2.0),
    )


def normalized(k: Any) -> Any:
    layers = k.layers
    return chain(
        k,
        (5, 5, 3),
        layers.Normalization(mean=[0.5, 0.25, 0.1], variance=[0.5, 2.0, 1.0]),
        layers.Conv2D(4, 3, strides=(2, 1), padding="same"),
        layers.Normalization(mean=0.1, variance=4.0, axis=None),
        layers.GaussianNoise(0.1),
        layers.BatchNormalization(center=False, epsilon=0.1, name="bn"),
        layers.Activation("linear"),
    )


def nested(k: Any) -> Any:
    layers = k.layers
    inner_input = k.Input((8, 8, 4), name="inner_input")
    x = layers.Conv2D(4, 1, name="first")(inner_input)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Conv2D(4, 1, use_bias=False, name="second")(x)
    inner = k.Model(inner_input, x, name="block")
    inner.get_layer("first").trainable = False
    head = k.Sequential([k.Input((8, 8, 4)), layers.ReLU(name="relu"), layers.Conv2D(4, 3, name="last")], name="head")
    image = k.Input((8, 8, 1), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="stem")(image)
    x = layers.Add(name="sum")([inner(inner(x)), x])
    x = layers.GlobalAveragePooling2D(name="gap")(head(x))
    shared = layers.Dense(4, activation="tanh", name="shared")
    return k.Model(image, shared(shared(x)), name="whole")


def two_inputs(k: Any) -> Any:
    layers = k.layers
    a, b = k.Input((6, 6, 2), name="left"), k.Input((6, 6, 2), name="right")
    conv = layers.Conv2D(3, 3, name="twin")
    return k.Model([a, b], [layers.Flatten(name="difference")(layers.Subtract()([conv(a), conv(b)])), b])


MODELS: list[Callable[[Any], Any]] = [
    net, mobile, residual, segmentation, sequence, shapes, normalized, nested, two_inputs,
]  # fmt: skip


def built(k: Any, make: Callable[[Any], Any]) -> Any:
    """The model with weights that differ everywhere, statistics too."""
    k.backend.clear_session()
    model = make(k)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 0.6, w.shape) * rng.choice([1, 1, -1], w.shape) ** (w.ndim > 1)
                       for w in model.get_weights()])  # fmt: skip
    return model


def save(model: Any, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras' own: the .h5 format is old, NumPy 2 copies arrays differently
        model.save(path)


def assert_equal(model: Any, onnx_model: ir.Model) -> None:
    proto = ir.to_proto(onnx_model)
    onnx.checker.check_model(proto, full_check=True)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    feeds = {i.name: rng.normal(size=(2, *i.shape[1:])).astype(np.float32) for i in session.get_inputs()}
    expected = model(list(feeds.values()) if len(feeds) > 1 else next(iter(feeds.values())), training=False)
    expected = expected if isinstance(expected, list | tuple) else [expected]
    for got, want in zip(session.run(None, feeds), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", MODELS)
def test_equals_keras_in_memory(k: Any, make: Callable[[Any], Any]) -> None:
    model = built(k, make)
    before = model.get_weights()
    assert_equal(model, load(model))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("make", MODELS)
def test_equals_keras_from_a_file(k: Any, make: Callable[[Any], Any], suffix: str, tmp_path: Path) -> None:
    model = built(k, make)
    path = tmp_path / f"model{suffix}"
    save(model, path)
    before = path.read_bytes()
    first, second = load(path), load(str(path))
    assert_equal(model, first)
    assert ir.to_proto(first).SerializeToString() == ir.to_proto(second).SerializeToString()
    assert ir.to_proto(first).SerializeToString() == ir.to_proto(load(model)).SerializeToString()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "activation",
    ["relu", "relu6", "sigmoid", "tanh", "softmax", "swish", "silu", "gelu", "hard_sigmoid", "hard_swish", "elu",
     "leaky_relu", "selu", "softplus", "softsign", "exponential", "mish", "log_softmax", "linear"],
)  # fmt: skip
def test_activations(k: Any, activation: str) -> None:
    if activation == "hard_swish" and k.__name__ == "tf_keras":
        pytest.skip("Keras 2 has no hard_swish")
    model = built(
        k,
        lambda k: chain(
            k,
            (4, 4, 3),
            k.layers.Conv2D(3, 1, activation=activation),
            k.layers.Activation(activation, name="act"),
            k.layers.Flatten(),
            k.layers.Dense(4, activation=activation, name="last"),
        ),
    )
    onnx_model = load(model)
    assert_equal(model, onnx_model)
    assert [value.name for value in onnx_model.graph.outputs] == ["last"]


def test_activation_given_as_a_layer(k: Any) -> None:
    layers = k.layers
    model = built(k, lambda k: chain(k, (4,), layers.Dense(4, activation=layers.LeakyReLU()), layers.ELU(0.5)))
    assert_equal(model, load(model))


def test_channels_first(k: Any) -> None:
    layers = k.layers
    first = {"data_format": "channels_first"}
    model = built(
        k,
        lambda k: chain(
            k,
            (2, 5, 6),
            layers.ZeroPadding2D(1, **first),
            layers.BatchNormalization(axis=1, name="bn"),
            layers.UpSampling2D(2, **first),
            layers.Flatten(**first),
        ),
    )
    assert_equal(model, load(model))


def test_names_layout_and_integer_input(k: Any) -> None:
    layers = k.layers
    model = k.Sequential(
        [
            k.Input((6, 6, 3), dtype="uint8", name="pixels"),
            layers.Rescaling(1 / 255, name="scale"),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.MaxPooling2D(name="pool"),
        ]
    )
    onnx_model = load(model)
    graph = onnx_model.graph
    assert [node.name for node in graph] == [
        "pixels/cast", "scale", "scale/channels_first", "conv", "conv/relu", "pool", "pool/channels_last",
    ]  # fmt: skip
    assert graph.inputs[0].name == "pixels"
    assert graph.inputs[0].dtype == ir.DataType.UINT8
    assert graph.inputs[0].shape == ir.Shape(["batch", 6, 6, 3])
    assert graph.outputs[0].name == "pool"
    assert graph.outputs[0].shape == ir.Shape(["batch", 2, 2, 4])
    assert {"conv/kernel", "conv/bias"} <= set(graph.initializers)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3)).astype(np.uint8)
    session = ort.InferenceSession(ir.to_proto(onnx_model).SerializeToString())
    np.testing.assert_allclose(session.run(None, {"pixels": pixels})[0], model(pixels), rtol=1e-5, atol=1e-5)


def operators(k: Any) -> Any:
    image = k.Input((4, 4, 2))
    x = k.layers.Conv2D(2, 1)(image)
    gate = k.layers.ReLU(6.0)((x + image) * x - image + 3.0) * (1.0 / 6.0)
    return k.Model(image, k.layers.Conv2D(2, 1)(k.layers.Add(name="layer")([image, gate]) / 2.0 - (1.0 - x)))


def test_operators_between_tensors_and_numbers(k: Any, tmp_path: Path) -> None:
    model = built(k, operators)
    save(model, tmp_path / "model.keras")
    save(model, tmp_path / "model.h5")
    for source in (model, tmp_path / "model.keras", tmp_path / "model.h5"):
        assert_equal(model, load(source))


def test_adapted_normalization(k: Any, tmp_path: Path) -> None:
    layer = k.layers.Normalization(name="normal")
    layer.adapt(np.random.default_rng(0).normal(3, 2, (64, 5, 5, 3)).astype(np.float32))
    model = chain(k, (5, 5, 3), layer)
    for suffix in (".keras", ".h5"):
        save(model, tmp_path / f"model{suffix}")
        assert_equal(model, load(tmp_path / f"model{suffix}"))
    assert_equal(model, load(model))


def test_every_unsupported_layer_is_listed(k: Any, tmp_path: Path) -> None:
    layers = k.layers
    model = chain(k, (4, 6), layers.LSTM(3, return_sequences=True, name="memory"), layers.GRU(2, name="gate"))
    save(model, tmp_path / "model.keras")
    for source in (model, tmp_path / "model.keras"):
        with pytest.raises(QuaintError, match="memory") as caught:
            load(source)
        assert caught.value.code == "QM150"
        assert caught.value.details == ("memory (LSTM)", "gate (GRU)")


def test_custom_layers_are_not_mistaken_for_keras_own(k: Any) -> None:
    custom = type("Dense", (k.layers.Dense,), {"call": lambda _, x: x * 2})
    with pytest.raises(QuaintError, match="QM150"):
        load(chain(k, (4,), custom(4)))


def test_lambda_layers_are_refused(k: Any, tmp_path: Path) -> None:
    model = chain(k, (4,), k.layers.Lambda(lambda x: x + 1, name="code"))
    for suffix in (".keras", ".h5"):
        save(model, tmp_path / f"model{suffix}")
        with pytest.raises(QuaintError, match="code") as caught:
            load(tmp_path / f"model{suffix}")
        assert caught.value.code == "QM190"


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda k: k.layers.UpSampling2D(2, interpolation="bicubic"), "interpolation"),
        (lambda k: k.layers.BatchNormalization(axis=2), "axis 2"),
        (lambda k: k.layers.Softmax(axis=(1, 2)), "more than one axis"),
        (lambda k: k.layers.LayerNormalization(axis=1), "an axis other than the last"),
    ],
)
def test_unsupported_settings_name_the_layer(k: Any, make: Callable[[Any], Any], what: str) -> None:
    model = chain(k, (4, 4, 2), make(k))
    with pytest.raises(QuaintError, match=what) as caught:
        load(model)
    assert caught.value.code == "QM150"


def test_subclassed_and_unbuilt_models(k: Any) -> None:
    with pytest.raises(QuaintError, match="QM150"):
        load(type("Mine", (k.Model,), {})())
    with pytest.raises(QuaintError, match="QM122"):
        load(k.Sequential([k.layers.Dense(3)]))
