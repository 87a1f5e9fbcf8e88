"""QuantizeML's configuration: what is dumped, read and refused; the two worked examples of its tutorials."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from akida_nets import SAME, chain, dense
from click.testing import CliRunner

from quaint import pipeline
from quaint.cli.group import quaint
from quaint.config import Config
from quaint.errors import QuaintError
from quaint.testing.builder import Builder
from quaint_akida import q_config
from quaint_akida.summary import rows

if TYPE_CHECKING:
    from pathlib import Path

    from quaint.quantized import Quantized

SCHEME = Config(
    input_weight_bits=16,
    weight_bits=4,
    activation_bits=6,
    output_bits=12,
    per_tensor_activations=True,
    buffer_bits=24,
    beyond_hardware=True,
)
WIDE = {"bitwidth": 12, "axis": "per-tensor", "buffer_bitwidth": 24}
DUMPED: dict[str, Any] = {
    "input_conv": {"output_quantizer": WIDE, "weight_quantizer": {"bitwidth": 16}, "buffer_bitwidth": 24},
    "dw_conv": {"output_quantizer": WIDE, "weight_quantizer": {"bitwidth": 4, "axis": -2}, "buffer_bitwidth": 24},
    "pw_conv": {"weight_quantizer": {"bitwidth": 4}, "buffer_bitwidth": 24},
    "relu": {
        "output_quantizer": {"bitwidth": 6, "signed": False, "axis": "per-tensor", "buffer_bitwidth": 24},
        "buffer_bitwidth": 24,
    },
    "dense": {"weight_quantizer": {"bitwidth": 4}, "buffer_bitwidth": 24},
}
EDITED = {
    "output_quantizer": {"bitwidth": 1, "axis": "per-axis", "buffer_bitwidth": 32},
    "buffer_bitwidth": 32,
}


@pytest.fixture(scope="module")
def tutorial() -> Any:
    """The tutorial's network."""
    keras = pytest.importorskip("keras")
    layers = keras.layers
    image = keras.Input((28, 28, 3), dtype="uint8", name="input")
    x = layers.Rescaling(1 / 255, name="rescale")(image)
    x = layers.Conv2D(16, 3, name="input_conv")(x)
    x = layers.DepthwiseConv2D(3, name="dw_conv")(x)
    x = layers.Conv2D(32, 1, name="pw_conv")(x)
    x = layers.ReLU(name="relu")(x)
    return keras.Model(image, layers.Dense(10, name="dense")(x))


@pytest.fixture(scope="module")
def images() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (32, 28, 28, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def quantized(tutorial: Any, images: Any) -> Quantized:
    return pipeline.quantize(tutorial, "akida2", images, SCHEME)


def test_the_tutorials_configuration_comes_out_key_for_key(quantized: Quantized) -> None:
    assert q_config.dump(quantized) == DUMPED


def test_the_tutorials_layers_and_parameters(quantized: Quantized) -> None:
    listed = [(row.name, row.parameters) for row in rows(quantized)]
    names = ("rescale", "input_conv", "dw_conv", "pw_conv", "relu", "dense", "dequantizer")
    assert listed == list(zip(names, (0, 450, 162, 544, 2, 330, 0), strict=True))


def test_the_tutorials_program_is_the_same_in_both_simulators(quantized: Quantized, images: Any) -> None:
    one, two = (quantized.run(images[:4], simulator=name)["dense"] for name in ("reference", "onnxruntime"))
    np.testing.assert_array_equal(one, two)
    assert all("not deployable" in line for line in quantized.warnings)


def test_an_edited_entry_stays_and_deleted_ones_come_from_the_parameters(tutorial: Any, images: Any) -> None:
    edited = copy.deepcopy(DUMPED) | {"relu": EDITED}
    for name in ("dw_conv", "pw_conv", "dense"):
        del edited[name]
    again = pipeline.quantize(tutorial, "akida2", images, q_config.read(edited).over(SCHEME))
    assert q_config.dump(again) == {**DUMPED, "relu": EDITED}


def test_the_command_line_dumps_and_reads_it(tmp_path: Path) -> None:
    net = Builder("net")
    x = net.op("GlobalAveragePool", chain(net, net.input(3, 8, 8), 3))
    model, samples, dump = tmp_path / "net.onnx", tmp_path / "samples.npz", tmp_path / "config.json"
    model.write_bytes(net.build(dense(net, x, 8)).SerializeToString())
    np.savez(samples, input=net.samples(32)["input"])

    def run(*args: object, code: int = 0) -> str:
        done = CliRunner().invoke(quaint, [str(arg) for arg in args])
        assert done.exit_code == code, done.output
        return done.output

    def quantize(folder: str, *more: object) -> Path:
        run("quantize", model, "--target", "akida2", "--samples", samples, "--output", tmp_path / folder, *more)
        return tmp_path / folder / "net.akida2.onnx"

    run("config", quantize("one"), "--format", "q_config", "--output", dump)
    first = json.loads(dump.read_text())
    assert first["conv0"] == {"weight_quantizer": {"bitwidth": 8}, "buffer_bitwidth": 32}
    first["relu0"]["output_quantizer"]["axis"] = "per-tensor"
    first["gemm0"]["weight_quantizer"]["bitwidth"] = 4
    dump.write_text(json.dumps(first))
    assert json.loads(run("config", quantize("two", "--config", dump), "--format", "q_config", "--json")) == first
    assert "QU112" in run("config", quantize("three"), "--format", "q-config", code=2)


def test_a_flattened_dense_layer_and_an_identity_convolution() -> None:
    net = Builder("net")
    x = chain(net, net.input(3, 6, 6), 3)
    x = net.op("Relu", net.op("Add", net.conv(x, (8, 8), pads=SAME), net.conv(x, (8, 8), pads=SAME)))
    model = net.build(net.op("Relu", net.gemm(net.op("Flatten", x), 8 * 36, 4)))
    dumped = q_config.dump(pipeline.quantize(model, "akida2", net.samples(32)["input"]))
    assert list(dumped["add0"]) == ["output_quantizer", "buffer_bitwidth"]
    assert list(dumped["relu1"]) == ["output_quantizer", "buffer_bitwidth"]
    assert list(dumped["gemm0"]) == ["weight_quantizer", "buffer_bitwidth"]
    assert dumped["relu2"]["output_quantizer"]["axis"] == "per-tensor"


def test_what_is_recognized() -> None:
    assert q_config.recognizes(DUMPED)
    assert not q_config.recognizes({})
    assert not q_config.recognizes({"layers": {"conv": {"bits": 8}}})
    assert not q_config.recognizes({"weight_bits": 8, "layers": {"output_quantizer": {}}})


def test_the_sign_of_4_bits_is_no_wish() -> None:
    narrow, wide = ({"output_quantizer": {"bitwidth": bits, "signed": False}} for bits in (4, 6))
    assert q_config.read({"relu": narrow}).layers["relu"] == {"activation_bits": 4}
    assert q_config.read({"relu": wide}).layers["relu"] == {"activation_bits": 6, "signed": False}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"weight_quantiser": {}},
            "unknown configuration key 'conv.weight_quantiser', did you mean 'weight_quantizer'",
        ),
        ({"weight_quantizer": {"bits": 4}}, "unknown configuration key 'conv.weight_quantizer.bits'"),
        ({"weight_quantizer": 4}, "'conv.weight_quantizer' does not take 4"),
        ({"buffer_bitwidth": {}}, "'conv.buffer_bitwidth' does not take {}"),
        ({"output_quantizer": {"axis": "per_axis"}}, "axis of 'conv' is not 'per_axis', did you mean 'per-axis'"),
        ({"output_quantizer": {"buffer_bitwidth": 24}, "buffer_bitwidth": 32}, "buffers of 'conv' have .24, 32. bits"),
        ({"output_quantizer": {"buffer_bitwidth": 24}, "buffer_bitwidth": 28}, "give both the same, or 28 and 32"),
        ({"output_quantizer": {"bitwidth": "8"}}, "takes int, not '8'"),
        ({"output_quantizer": {"scale_bits": 16}}, "the chip has 8 of 'conv.output_quantizer.scale_bits', not 16"),
        (
            {"bias_quantizer": {"bitwidth": 16}},
            "the chip has 8 of 'conv.bias_quantizer.bitwidth', not 16, leave it out",
        ),
        ({"max_value_quantizer": {"signed": True}}, "the chip has False of 'conv.max_value_quantizer.signed'"),
        ({"lut_bitwidth": 16}, "the chip has 14 of 'conv.lut_bitwidth', not 16"),
        ({"weight_quantizer": {"axis": 0}}, "axis of 'conv' is not 0, .*known: -1, -2, None"),
    ],
)
def test_what_is_refused(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(QuaintError, match=f"QP510.*{message}"):
        q_config.read({"conv": entry})


def entry(bits: int, axis: str = "per-axis", **more: Any) -> dict[str, Any]:
    return {"output_quantizer": {"bitwidth": bits, "axis": axis, "buffer_bitwidth": 32}, **more}


#: Forms that ``dump_config`` of QuantizeML 1.2.5 gives.
SEPARABLE = {"dw_weight_quantizer": {"bitwidth": 8, "axis": None}, "pw_weight_quantizer": {"bitwidth": 4}}
THEIRS: dict[str, Any] = {
    "conv": {"weight_quantizer": {"bitwidth": 8}, "buffer_bitwidth": 28},
    "relu": {"output_quantizer": {"bitwidth": 8, "signed": True, "axis": "per-axis", "buffer_bitwidth": 32}},
    "sep": {**SEPARABLE, "buffer_bitwidth": 32},
    "mid": entry(11, "per-tensor", weight_quantizer={"bitwidth": 8}, buffer_bitwidth=28),
    "act": entry(8, "per-axis", lut_bitwidth=14),
    "last": {
        "weight_quantizer": {"bitwidth": 8},
        "output_quantizer": {"bitwidth": 8, "buffer_bitwidth": 32, "scale_bits": 8},
        "bias_quantizer": {"bitwidth": 8, "signed": True, "axis": None},
        "max_value_quantizer": {"bitwidth": 8},
        "buffer_bitwidth": 28,
    },
}


def test_a_file_of_theirs_is_read() -> None:
    assert q_config.recognizes(THEIRS)
    assert q_config.read(THEIRS).layers == {
        "conv": {"weight_bits": 8, "buffer_bits": 28},
        "relu": {"activation_bits": 8, "signed": True, "per_tensor_activations": False, "buffer_bits": 32},
        "sep": {"weight_bits": 4, "buffer_bits": 32},
        "sep/depthwise": {"weight_bits": 8},
        "mid": {"weight_bits": 8, "buffer_bits": 32},  # its output is the table's index
        "act": {"activation_bits": 8, "per_tensor_activations": False, "buffer_bits": 32},
        "last": {"weight_bits": 8, "activation_bits": 8, "buffer_bits": 32},
    }


def test_eleven_bits_without_a_table_are_a_wish() -> None:
    wide = {"conv": entry(11, "per-tensor")}
    assert q_config.read(wide).layers["conv"]["activation_bits"] == 11


@pytest.fixture(scope="module")
def separable() -> Any:
    """Separable convolutions, an activation by table, and an average."""
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((12, 12, 3), dtype="uint8", name="input")
    x = layers.Rescaling(1 / 255, name="rescale")(image)
    x = layers.ReLU(name="relu")(layers.Conv2D(8, 3, padding="same", name="conv")(x))
    x = layers.ReLU(6.0, name="relu_1")(layers.SeparableConv2D(8, 3, padding="same", name="sep")(x))
    return keras, image, x


def small_images() -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (32, 12, 12, 3)).astype(np.uint8)


def test_a_separable_convolution_and_a_table_go_round(separable: Any) -> None:
    keras, image, x = separable
    x = keras.layers.Activation("swish", name="act")(keras.layers.Conv2D(8, 3, padding="same", name="mid")(x))
    x = keras.layers.ReLU(name="relu_2")(keras.layers.Conv2D(8, 3, padding="same", name="late")(x))
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    model = keras.Model(image, keras.layers.Dense(10, name="dense")(x))
    made = pipeline.quantize(model, "akida2", small_images())
    dumped = q_config.dump(made)
    axis = {"bitwidth": 8, "axis": -2}
    assert dumped == {
        "conv": {"weight_quantizer": {"bitwidth": 8}, "buffer_bitwidth": 32},
        "relu": entry(8, buffer_bitwidth=32),
        "sep/depthwise": entry(8, buffer_bitwidth=32),
        "sep": {"dw_weight_quantizer": axis, "pw_weight_quantizer": {"bitwidth": 8}, "buffer_bitwidth": 28},
        "relu_1": entry(8, buffer_bitwidth=32),
        "mid": entry(11, "per-tensor", weight_quantizer={"bitwidth": 8}, buffer_bitwidth=28),
        "act": entry(8, lut_bitwidth=14),
        "late": {"weight_quantizer": {"bitwidth": 8}, "buffer_bitwidth": 28},
        "relu_2": {"buffer_bitwidth": 32},
        "average": entry(8, "per-axis", buffer_bitwidth=32),
        "dense": {"weight_quantizer": {"bitwidth": 8}, "buffer_bitwidth": 28},
    }
    edited = copy.deepcopy(dumped)
    edited["sep"]["pw_weight_quantizer"]["bitwidth"] = 4
    edited["act"]["output_quantizer"]["axis"] = "per-tensor"
    del edited["late"], edited["average"]
    again = pipeline.quantize(model, "akida2", small_images(), q_config.read(edited))
    wanted = dumped | {name: edited[name] for name in ("sep", "act")}
    assert q_config.dump(again) == wanted
    found = {
        layer.name: layer.constants["weight"] for layer in again.integer.integer_layers if "weight" in layer.constants
    }
    assert np.abs(found["sep"]).max() == 7
    assert np.abs(found["sep/depthwise"]).max() > 7


def test_a_separable_convolution_of_akida1(separable: Any) -> None:
    keras, image, x = separable
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    model = keras.Model(image, keras.layers.Dense(10, name="dense")(x))
    narrow = {"output_quantizer": {"bitwidth": 4, "axis": "per-tensor"}}
    wishes = Config(quantizer="ranges")
    dumped = q_config.dump(pipeline.quantize(model, "akida1", small_images(), wishes))
    assert dumped == {
        "conv": {"weight_quantizer": {"bitwidth": 8}},
        "relu": narrow,
        "sep": {"dw_weight_quantizer": {"bitwidth": 4, "axis": -2}, "pw_weight_quantizer": {"bitwidth": 4}},
        "relu_1": narrow,
        "dense": {"weight_quantizer": {"bitwidth": 4}},
    }
    theirs = copy.deepcopy(dumped) | {"dense": {"weight_quantizer": {"bitwidth": 2}, "buffer_bitwidth": 28}}
    again = pipeline.quantize(model, "akida1", small_images(), q_config.read(theirs).over(wishes))
    assert q_config.dump(again) == dumped | {"dense": {"weight_quantizer": {"bitwidth": 2}}}
    theirs["sep"]["dw_weight_quantizer"]["bitwidth"] = 2
    part = pipeline.quantize(model, "akida1", small_images(), q_config.read(theirs).over(wishes))
    assert "its two convolutions have weights of the same width" in "".join(map(str, part.refusals))
