"""Layers in the ``akida`` package's terms, computed as its documentation says, give the kernels' integers without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import akida_random
import akida_reference as truth
import numpy as np
import pytest
from akida_layers import ALL

from quaint.errors import QuaintError
from quaint.integer import DEQUANTIZER, Layer
from quaint.simulators.reference import Reference
from quaint_akida.runtime_layers1 import real_steps
from quaint_akida.runtime_model import LAYERS

if TYPE_CHECKING:
    from quaint.integer import IntegerModel
    from quaint_akida.runtime_layers import VendorLayer

Array = np.ndarray[Any, np.dtype[Any]]

#: Convolutions that the package does not flip.
UNFLIPPED = ("InputConv2D", "InputConvolutional")


def products(vendor: VendorLayer, x: Array) -> Array:
    """Exact sums of products over a map [rows, columns, channels]."""
    weight, given = vendor.variables["weights"].astype(np.int64), vendor.arguments
    if "units" in given:
        last = vendor.kind == "Dense1D"
        flat = (x if last else x.transpose(2, 1, 0)).reshape(-1).astype(object)
        return (flat @ weight.reshape(-1, given["units"]).astype(object)).reshape(1, 1, -1)
    if "Transpose" in vendor.kind:
        return truth.transpose_convolve(x, weight, depthwise=vendor.kind.startswith("Depthwise"))
    stride = np.max(given["kernel_stride"])
    padding = {"Same": "same", "SameUpper": "same-upper", "Valid": "valid"}[given["padding"]]
    border = vendor.variables.get("padding_value", given.get("padding_value"))
    border = None if border is None else np.broadcast_to(border, (x.shape[2],))
    single = vendor.kind in {"DepthwiseConv2D", "SeparableConvolutional"}
    sums = truth.convolve(
        x, weight, stride, padding, flipped=vendor.kind not in UNFLIPPED, depthwise=single, border=border
    )
    if "weights_pw" in vendor.variables:
        pointwise = vendor.variables["weights_pw"].astype(np.int64)
        return truth.convolve(sums, pointwise, 1, "same", flipped=True)
    return sums


def fields(vendor: VendorLayer) -> dict[str, Any]:
    """Arguments and variables as ``akida_reference`` calls them."""
    given, found = vendor.arguments, {name: array.astype(object) for name, array in vendor.variables.items()}
    made = dict(found) | {name: given[name] for name in ("output_bits", "buffer_bits", "act_bits") if name in given}
    if given.get("pool_type") == "Max":
        made["pool"] = (int(np.max(given["pool_size"])), int(np.max(given["pool_stride"])))
    made |= {"gap": given.get("pool_type") == "Average", "padding": given.get("padding", "").lower()}
    made |= {"first": vendor.kind == "InputConv2D", "wraps": vendor.kind != "Dense1D"}
    if given.get("activation") == "NoActivation":
        assert not {"max_value", "lut_values"} & set(found)
    made.setdefault("output_scales", np.ones(len(found.get("bias", ())), object))
    made.setdefault("output_shift", np.zeros(len(found.get("bias", ())), object))
    return made


def computed(vendor: VendorLayer, x: Array) -> Array:
    """What the package's layer makes of a map."""
    sums, made = products(vendor, x), fields(vendor)
    if "threshold" not in made:
        return truth.finish2(sums, made)
    if not vendor.arguments["activation"]:
        made.pop("act_step", None)
    else:
        made["act_step"] = np.array([int(16 * step) for step in made["act_step"]])
    if vendor.kind == "FullyConnected":
        sums = np.array([truth.sat(int(total), 20) for total in sums.flat], object).reshape(sums.shape)
    return truth.finish1(sums, made)


def described(model: IntegerModel) -> VendorLayer:
    (layer,) = model.layers
    return LAYERS[layer.op](layer, model)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", [name for name in akida_random.SINGLE if "buffer" not in name and "wide" not in name])
def test_described_as_documented(name: str, seed: int) -> None:
    net = akida_random.SINGLE[name](np.random.default_rng(seed))
    model, feeds = net.model(), net.feeds()
    wanted = Reference(model, ALL).run(feeds)["y0"]
    for x, y in zip(feeds["x"], wanted, strict=True):
        result = computed(described(model), np.moveaxis(x.astype(np.int64), 0, -1))
        np.testing.assert_array_equal(np.moveaxis(result, -1, 0).reshape(y.shape), y)


@pytest.mark.parametrize("depthwise", [False, True])
def test_frames_are_laid_out_oldest_first(depthwise: bool) -> None:
    net = akida_random.buffer_temp_conv(np.random.default_rng(3), depthwise=depthwise)
    model, feeds = net.model(), net.feeds()
    vendor, wanted = described(model), Reference(model, ALL).run(feeds)["y0"]
    assert vendor.kind == ("DepthwiseBufferTempConv" if depthwise else "BufferTempConv")
    weight = vendor.variables["weights"].astype(np.int64)
    for x, y in zip(feeds["x"], wanted, strict=True):
        frames = [np.moveaxis(x[:, t].reshape(x.shape[0], *(x.shape[2:] or (1, 1))), 0, -1) for t in range(x.shape[1])]
        sums = truth.buffer_convolve(frames, weight, depthwise=depthwise)
        result = np.stack([np.moveaxis(truth.finish2(one, fields(vendor)), -1, 0) for one in sums], axis=1)
        np.testing.assert_array_equal(result.reshape(y.shape), y)


def test_the_narrowest_weights_are_declared() -> None:
    net = akida_random.convolutional(np.random.default_rng(0))
    (layer,) = net.layers
    for largest, bits in ((1, 2), (-1, 2), (7, 4), (-7, 4), (8, 8), (-8, 8), (-128, 8)):
        layer.constants["weight"][:] = largest  # type: ignore[index]
        assert described(net.model()).arguments["weights_bits"] == bits


def test_joins() -> None:
    net = akida_random.joined(np.random.default_rng(1), "shifted_add")
    model, add = net.model(), net.layers[-1]
    vendor = LAYERS[add.op](add, model)
    assert vendor.kind == "Add"
    np.testing.assert_array_equal(vendor.variables["output_shift"], -add.constants["output_shift"])
    assert LAYERS["concatenate"](add, model).kind == "Concatenate"


def potentials(scale: float | Array) -> IntegerModel:
    """A last layer, and what makes reals of its potentials."""
    net = akida_random.fully_connected(np.random.default_rng(0))
    (layer,) = net.layers
    constants = {name: layer.constants[name] for name in ("weight", "threshold")}
    net.layers[0] = Layer("fully_connected", ("x",), ("y0",), constants, name="dense")
    reals = {"scale": np.float32(scale), "zero_point": constants["threshold"]}
    net.layers.append(Layer(DEQUANTIZER, ("y0",), ("y",), reals))
    return net.model()


@pytest.mark.parametrize(("scale", "step", "times"), [(0.125, 8, 1), (2.0**-20, 2.0**15, 32), (64.0, 1 / 16, 0.25)])
def test_potentials_get_the_step_that_makes_them_real(scale: float, step: float, times: float) -> None:
    """Or a power of two of it, where the chip's step has no room."""
    model = potentials(scale)
    vendor = LAYERS["fully_connected"](model.layers[0], model)
    assert vendor.arguments["activation"] is False
    np.testing.assert_array_equal(vendor.variables["act_step"], np.full_like(vendor.variables["act_step"], step))
    found = real_steps(model.layers[0], model)
    assert found is not None
    assert found[1] == times


def test_potentials_of_scales_that_differ_too_much() -> None:
    units = len(potentials(1.0).layers[0].constants["threshold"])
    model = potentials(np.geomspace(2.0**-16, 64, units))
    with pytest.raises(QuaintError, match=r"'dense'.*differ more than the chip's steps"):
        LAYERS["fully_connected"](model.layers[0], model)


@pytest.mark.parametrize(
    ("constant", "value", "reason"),
    [("output_shift", 32, "shifts by more than 31 bits"), ("weight", 300, "weights of more than 8 bits")],
)
def test_what_the_package_cannot_hold_is_refused(constant: str, value: int, reason: str) -> None:
    net = akida_random.input_conv2d(np.random.default_rng(0))
    (layer,) = net.layers
    changed = {**layer.constants, constant: np.full_like(layer.constants[constant], value, np.int64)}
    net.layers[0] = Layer(layer.op, layer.inputs, layer.outputs, changed, layer.attributes, "stem")
    with pytest.raises(QuaintError, match=f"'stem'.*{reason}") as error:
        described(net.model())
    assert error.value.code == "QT352"


def test_an_unsigned_output_of_8_bits_is_refused() -> None:
    net = akida_random.dense1d(np.random.default_rng(0))
    (layer,) = net.layers
    attributes = {**layer.attributes, "output_bits": 8, "output_signed": False}
    net.layers[0] = Layer(layer.op, layer.inputs, layer.outputs, layer.constants, attributes, "dense")
    with pytest.raises(QuaintError, match="an output of 8 bits is always signed"):
        described(net.model())
