"""One network, built in each framework from the same weights: the chip gets the same layers and computes the same integers."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from quaint import load
from quaint.pipeline import load_model, quantize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from quaint.integer import Layer
    from quaint.quantized import Quantized

TARGETS = ("esp32p4", "esp32s3", "akida1", "akida2", "onnx-qdq")
#: Layers that hand numbers on and compute none; a channel-last input brings one more of them.
MOVES = {"reshape", "transpose"}
SOURCES = ("module", "pt2", "keras model", "keras file", "tf_keras model", "tf_keras file")


@pytest.fixture(scope="module")
def networks(digits: Path) -> Iterator[ModuleType]:
    """The example's PyTorch modules."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    spec = importlib.util.spec_from_file_location("networks", digits / "networks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["networks"] = module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    yield module
    del sys.modules["networks"]


def keras_digits(k: Any, weights: dict[str, tuple[NDArray[Any], NDArray[Any]]]) -> Any:
    """The digits network, channels last."""
    layers = k.layers
    model = k.Sequential([
        k.Input((8, 8, 1), name="image"),
        layers.Conv2D(16, 3, padding="same", name="conv1"),
        layers.ReLU(name="relu1"),
        layers.MaxPooling2D(2, name="pool1"),
        layers.Conv2D(32, 3, padding="same", name="conv2"),
        layers.ReLU(name="relu2"),
        layers.DepthwiseConv2D(3, padding="same", name="depthwise3"),
        layers.Conv2D(64, 1, name="pointwise3"),
        layers.ReLU(name="relu3"),
        layers.GlobalAveragePooling2D(name="gap"),
        layers.Dense(10, name="dense"),
    ])  # fmt: skip
    order = {"dense": (1, 0), "depthwise3": (2, 3, 0, 1)}
    for name, (weight, bias) in weights.items():
        model.get_layer(name).set_weights([weight.transpose(order.get(name, (2, 3, 1, 0))), bias])
    return model


@pytest.fixture(scope="module")
def build(networks: ModuleType, digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """The digits network as one of ``SOURCES``: a model in memory or the path of a file, made once."""
    folder, made = tmp_path_factory.mktemp("models"), {}

    def make(source: str) -> Any:
        import torch

        network = networks.load_weights(networks.digits(), digits / "digits.onnx")
        if source == "module":
            return network
        if source == "pt2":
            dynamic = ({0: torch.export.Dim("batch")},)
            program = torch.export.export(network, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=dynamic)
            torch.export.save(program, folder / "digits.pt2")
            return folder / "digits.pt2"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        framework, _, kind = source.partition(" ")
        pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
        k = pytest.importorskip(framework, reason=f"{framework} is not installed")
        names = ("conv1", "conv2", "depthwise3", "pointwise3", "dense")
        parameters = {name: getattr(network, name) for name in names}
        model = keras_digits(
            k, {name: (p.weight.detach().numpy(), p.bias.detach().numpy()) for name, p in parameters.items()}
        )
        if kind == "model":
            return model
        path = folder / ("digits.keras" if framework == "keras" else "digits.h5")
        model.save(path)
        return path

    def once(source: str) -> Any:
        if source not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made[source] = make(source)
        return made[source]

    return once


def working(quantized: Quantized) -> list[Layer]:
    return [layer for layer in quantized.integer.integer_layers if layer.op not in MOVES]


def check_same(one: Quantized, x: NDArray[Any], other: Quantized, y: NDArray[Any]) -> None:
    """The same layers with the same constants, and the same integers in all their tensors."""
    assert [layer.op for layer in working(one)] == [layer.op for layer in working(other)]
    tensors = [[name for layer in working(q) for name in layer.outputs] for q in (one, other)]
    values = [q.run(x, outputs=names) for q, x, names in ((one, x, tensors[0]), (other, y, tensors[1]))]
    for mine, theirs in zip(working(one), working(other), strict=True):
        assert mine.attributes == theirs.attributes, mine.name
        for name, constant in mine.constants.items():
            np.testing.assert_array_equal(constant, theirs.constants[name], err_msg=f"{mine.name}: {name}")
        for a, b in zip(mine.outputs, theirs.outputs, strict=True):
            assert values[0][a].dtype.kind in "iu"
            np.testing.assert_array_equal(values[0][a], values[1][b], err_msg=f"{a} and {b}")
            mine_as, theirs_as = one.integer.tensors[a], other.integer.tensors[b]
            assert mine_as.dtype == theirs_as.dtype
            np.testing.assert_array_equal(mine_as.scale, theirs_as.scale, err_msg=a)


@pytest.mark.parametrize("source", SOURCES)
def test_same_integers_from_every_framework(
    source: str, build: Callable[[str], Any], digits: Path, digits_arrays: dict[str, NDArray[Any]]
) -> None:
    calibration, test = digits_arrays["calibration"], digits_arrays["test"][:64]
    order = (0, 2, 3, 1) if "keras" in source else (0, 1, 2, 3)  # channels last, where the model takes them so
    model = load_model(build(source), test[:2] if source == "module" else None)
    for target in TARGETS:
        from_onnx = quantize(digits / "digits.onnx", target, calibration)
        other = quantize(model, target, calibration.transpose(order))
        check_same(from_onnx, test, other, test.transpose(order))


@pytest.mark.parametrize("source", ["pt2", "keras file", "tf_keras file"])
def test_same_integers_through_the_command_line(
    source: str,
    build: Callable[[str], Any],
    run_cli: Callable[..., Any],
    digits: Path,
    digits_arrays: dict[str, NDArray[Any]],
    tmp_path: Path,
) -> None:
    """The samples are those of the ONNX file: one word says how they are laid out."""
    path, layout = build(source), ("--layout", "nchw") if "keras" in source else ()
    call = ("--target", "akida2", "--samples", digits / "calibration.npz", "--output", tmp_path / "out", *layout)
    run_cli("quantize", path, *call)
    loaded = load(tmp_path / "out" / f"{path.stem}.akida2.onnx")
    calibration, test = digits_arrays["calibration"], digits_arrays["test"][:64]
    from_onnx = quantize(digits / "digits.onnx", "akida2", calibration)
    check_same(from_onnx, test, loaded, test.transpose(0, 2, 3, 1) if layout else test)


def test_a_module_with_batch_norms_and_an_addition(
    networks: ModuleType, digits: Path, digits_arrays: dict[str, NDArray[Any]]
) -> None:
    """PyTorch's exporter folds the batch norms itself, in float32: constants differ in their last bit, and little else."""
    calibration, test = digits_arrays["calibration"], digits_arrays["test"][:64]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = networks.load_weights(networks.digits_residual(), digits / "digits-residual.onnx")
    model = load_model(module, test[:2])
    for target in TARGETS:
        if target == "akida1":  # has no layer that adds
            continue
        one = quantize(digits / "digits-residual.onnx", target, calibration)
        other = quantize(model, target, calibration)
        assert [layer.op for layer in working(one)] == [layer.op for layer in working(other)]
        mine, theirs = one.run(test)["logits"], other.run(test)["output"]
        np.testing.assert_array_equal(mine.argmax(axis=1), theirs.argmax(axis=1))
        assert np.square(mine - theirs).sum() < 0.01 * np.square(mine).sum()


def test_samples_may_be_laid_out_as_the_other_framework_has_them(
    build: Callable[[str], Any], digits_arrays: dict[str, NDArray[Any]]
) -> None:
    """A channel-last model quantized with channel-first samples, by a word."""
    model, calibration = build("keras model"), digits_arrays["calibration"]
    told = quantize(model, "akida2", calibration, layout="nchw")
    turned = quantize(model, "akida2", calibration.transpose(0, 2, 3, 1))
    assert told.calibration == turned.calibration
    assert told.to_bytes() == turned.to_bytes()
