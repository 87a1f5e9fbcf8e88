"""The file that BrainChip's package loads, or word of why there is none."""

from __future__ import annotations

import json
import re
import sys
import types
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from akida_nets import DIGITS, channel_last
from akida_vendor import needs_runtime, without_runtime  # noqa: F401 - a fixture

from quaint import pipeline
from quaint.config import Config
from quaint.errors import QuaintError, QuaintWarning
from quaint.report.build import build
from quaint.testing.builder import Builder
from quaint_akida import runtime_model
from quaint_akida.exporter import exporter

if TYPE_CHECKING:
    from pathlib import Path

    from quaint.quantized import Quantized

SAMPLES = DIGITS / "calibration.npz"


def digits(target: str = "akida1", **options: Any) -> Quantized:
    return pipeline.quantize(str(DIGITS / "digits.onnx"), target, str(SAMPLES), Config(options=options))


def loaded(folder: Path, files: dict[str, bytes], name: str) -> Any:
    import akida

    path = folder / name
    path.write_bytes(files[name])
    return akida.Model(str(path))


def test_without_the_package_a_warning_says_how_to_get_it(without_runtime: None) -> None:  # noqa: ARG001, F811
    quantized = digits()
    with pytest.warns(QuaintWarning, match=r'no \.fbz was written: .*pip install "quaint-akida\[runtime\]"'):
        files = build(quantized, "digits").files
    assert list(files) == ["digits.akida1.onnx", "report.json", "report.html", "manifest.json"]
    spent = json.loads(files["report.json"])["cost"]
    assert (spent["file"], spent["file_bytes"]) == (None, None)  # the saved model is no flash of the chip


def test_without_the_package_a_file_that_must_be_is_an_error(without_runtime: None) -> None:  # noqa: ARG001, F811
    with pytest.raises(QuaintError, match="needs BrainChip's akida package") as error:
        digits(fbz="always").files("digits")
    assert error.value.code == "QP530"


def test_no_file_where_none_is_wanted() -> None:
    assert list(digits(fbz="never").files("digits")) == ["digits.akida1.onnx"]


@pytest.fixture
def unused_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is there, but must not be asked for anything."""
    package = types.ModuleType("akida")
    package.__file__ = "akida/__init__.py"
    package.Model = lambda: pytest.fail("a model is built")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "akida", package)


def tokens() -> Quantized:
    """A transformer's layers, which only the simulators have."""
    net = Builder("tokens")
    x = net.op("Add", net.input(6, 8), net.weights(1, 6, 8, fan_in=1))
    model = net.build(net.op("Add", x, net.weights(1, 6, 8, fan_in=1)))
    return beyond(model, net, input_dtype="int8")


def wide() -> Quantized:
    """Layers that the package has, in a width that no chip has."""
    net = Builder("wide")
    x = net.op("Relu", net.conv(net.input(3, 8, 8), (3, 8), pads=[1] * 4))
    return beyond(net.build(net.op("Relu", net.conv(x, (8, 8), pads=[1] * 4))), net, activation_bits=6)


def beyond(model: Any, net: Builder, **wishes: Any) -> Quantized:
    return pipeline.quantize(model, "akida2", net.samples(32)["input"], Config(beyond_hardware=True, **wishes))


UNFIT = {
    tokens: r"not deployable: add0 \(Add\): the akida runtime has no such layer, only the simulators \(and 1 more\)",
    wide: r"not deployable: conv0 \(Conv\): an output of .* bits \(and 2 more\)",
}


@pytest.mark.parametrize("make", UNFIT)
def test_what_only_simulators_run_never_reaches_the_file(unused_runtime: None, make: Any) -> None:  # noqa: ARG001
    quantized = make()
    assert list(quantized.files("net")) == ["net.akida2.onnx"]
    (remark,) = exporter.remarks(quantized, quantized.files("net"))
    assert re.fullmatch(f"no .fbz was written: {UNFIT[make]}; it was made for the simulators, beyond hardware", remark)
    always = replace(quantized, config=replace(quantized.config, options={"fbz": "always"}))
    with pytest.raises(QuaintError, match=UNFIT[make]) as error:
        always.files("net")
    assert error.value.code == "QT352"


def test_a_layer_that_the_package_has_not_is_named_without_it(without_runtime: None) -> None:  # noqa: ARG001, F811
    with pytest.raises(QuaintError, match=r"cannot hold layer 'add0' \(add_position_embs\): there is no such") as error:
        runtime_model.build(tokens().integer)
    assert error.value.code == "QT352"


@needs_runtime
@pytest.mark.parametrize("target", ["akida1", "akida2"])
def test_the_file_loads_and_predicts(tmp_path: Path, target: str) -> None:
    """Reals go in and come out; of Akida 1's, float32 division may round otherwise than our multiplication."""
    quantized = digits(target)
    files = quantized.files("digits")
    assert files == quantized.files("digits")
    model = loaded(tmp_path, files, f"digits.{target}.fbz")
    x = np.load(DIGITS / "test.npz")["input"][:50]
    wanted = quantized.run(x)["logits"]
    found = model.predict(x).reshape(wanted.shape)
    if target == "akida2":
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@needs_runtime
@pytest.mark.parametrize("channels", [3, 4])
def test_channel_last_inputs(tmp_path: Path, channels: int) -> None:
    """Images and others, through the package's own quantizer: also where x * scale is a tie or no number."""
    model = channel_last((8, 8, channels))
    x = np.random.default_rng(0).normal(size=(32, 8, 8, channels)).astype(np.float32)
    quantized = pipeline.quantize(model, "akida2", x)
    vendor = loaded(tmp_path, quantized.files("net"), "net.akida2.fbz")
    ties = np.round(x * 64) / 128
    ties[0, 0, 0, 0], ties[0, 1, 1, 0], ties[0, 2, 2, 0] = np.nan, 1e6, -1e6
    for samples in (x, ties):
        np.testing.assert_array_equal(vendor.predict(samples).reshape(-1, 10), quantized.run(samples)["output"])


@needs_runtime
def test_typed_inputs(tmp_path: Path) -> None:
    from onnx import TensorProto

    for kind, dtype in ((TensorProto.UINT8, np.uint8), (TensorProto.INT8, np.int8)):
        x = (
            np.random.default_rng(0)
            .integers(*((0, 256) if dtype == np.uint8 else (-128, 128)), (32, 8, 8, 3))
            .astype(dtype)
        )
        quantized = pipeline.quantize(channel_last((8, 8, 3), kind), "akida2", x)
        vendor = loaded(tmp_path, quantized.files("net"), "net.akida2.fbz")
        assert "Quantizer" not in [layer.parameters.layer_type.name for layer in list(vendor.layers)]
        np.testing.assert_array_equal(vendor.predict(x).reshape(-1, 10), quantized.run(x)["output"])


@needs_runtime
def test_two_outputs_are_refused() -> None:
    net = Builder("two_heads")
    x = net.op("Relu", net.conv(net.input(3, 8, 8), (3, 8), pads=[1] * 4))
    heads = [net.conv(net.op("Relu", net.conv(x, (8, 8), (1, 1))), (8, 4), (1, 1)) for _ in range(2)]
    quantized = pipeline.quantize(
        net.build(*heads), "akida2", net.samples(32)["input"], Config(options={"fbz": "always"})
    )
    with pytest.raises(QuaintError, match="2 tensors leave the chip") as error:
        quantized.files("net")
    assert error.value.code == "QT352"
