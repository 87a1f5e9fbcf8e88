"""QuantizeML's configuration: layer name -> its quantizers, as plain data.

A layer's entry has ``output_quantizer`` (``bitwidth``, ``signed``, ``axis``: ``per-tensor`` or ``per-axis``,
``buffer_bitwidth``), ``weight_quantizer`` (``bitwidth``, ``axis``) and ``buffer_bitwidth``, of the sum. Of a SeparableConv2D,
whose convolutions are ``NAME/depthwise`` and ``NAME`` here, the weights are ``dw_weight_quantizer`` and
``pw_weight_quantizer``. Before an activation by table, the output is the table's index; the activation has ``lut_bitwidth``.
Source: QuantizeML's user guide, "Advanced quantization", and what ``dump_config`` of 1.2.5 gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.config import Config
from quaint.errors import QuaintError
from quaint.specs import weight_bits
from quaint.suggest import did_you_mean
from quaint.target import ConfigFormat
from quaint_akida.akida2_kernels import ENTRY, INDEX, POST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from quaint.integer import Layer
    from quaint.quantized import Quantized

#: Keys of a layer, with those of the table behind each; an empty one for a number.
KEYS: dict[str, tuple[str, ...]] = {
    "output_quantizer": ("bitwidth", "signed", "axis", "buffer_bitwidth", "scale_bits"),
    "weight_quantizer": ("bitwidth", "axis"),
    "dw_weight_quantizer": ("bitwidth", "axis"),
    "pw_weight_quantizer": ("bitwidth", "axis"),
    "bias_quantizer": ("bitwidth", "signed", "axis"),
    "max_value_quantizer": ("bitwidth", "signed"),
    "lut_bitwidth": (),
    "buffer_bitwidth": (),
}
#: What the chip has, and nothing else: it may be said, not changed.
FIXED = {
    "output_quantizer.scale_bits": 8,
    "bias_quantizer.bitwidth": 8,
    "bias_quantizer.signed": True,
    "max_value_quantizer.bitwidth": 8,
    "max_value_quantizer.signed": False,
    "lut_bitwidth": ENTRY.bits,
}
AXES = {"per-tensor": True, "per-axis": False}
#: Of the filters, of a depthwise convolution's, or one scale for all: each filter has a scale of its own here.
WEIGHT_AXES = (-1, -2, None)
DEPTHWISE = "/depthwise"
#: Bits of the sum, where a layer says nothing and the chip has fewer than 32; layers of Akida 1 have no buffers to choose.
SUM_BITS = {"conv2d": 28, "conv2d_transpose": 28, "dense1d": 28}
AKIDA1 = frozenset({"convolutional", "separable_convolutional", "fully_connected"})
#: Constants that tell that a layer ends in an activation function.
ACTIVATED = ("max_value", "lut_values", "step")
INDEXING = {"bitwidth": INDEX.bits, "axis": "per-tensor", "buffer_bitwidth": POST.bits}


def dump(model: Quantized) -> dict[str, dict[str, Any]]:
    """The entry of each layer of a quantized model, in the order of execution."""
    entries: dict[str, dict[str, Any]] = {}
    layers = [each for each in model.integer.integer_layers if each.op not in {"transpose", "reshape", "concatenate"}]
    names = {name for layer in layers for name in layer.nodes}
    for layer in layers:
        (main, last), (of_sum, after) = ends(layer), _buffers(layer)
        for name, weight in _weights(model, layer):
            base, key = _role(name, names)
            entries.setdefault(name, {})
            entries.setdefault(base, {}).update({key: weight, **of_sum})
        table = "lut_values" in layer.constants
        if table and weighs(layer):
            entries[main]["output_quantizer"] = INDEXING
        if layer.attributes.get("gap") and "max_value" in layer.constants and last != main:
            entries[layer.nodes[-2]] = dict(after)
        if any(name in layer.constants for name in ("output_scale", "output_shift", "step")):
            own = {"lut_bitwidth": ENTRY.bits} if table else after
            entries[last] = {**own, **entries.get(last, {}), "output_quantizer": _output(model, layer) | after}
    return {name: {key: entry[key] for key in KEYS if key in entry} for name, entry in entries.items() if entry}


def ends(layer: Layer) -> tuple[str, str]:
    """The float layer whose weights a layer has, and the one whose output it gives: its activation or average, if any."""
    nodes, gap, flat = layer.nodes, layer.attributes.get("gap"), layer.attributes.get("flatten")
    activated = any(name in layer.constants for name in ACTIVATED)
    behind = bool("pool" in layer.attributes or (flat and not gap))  # what is no layer of QuantizeML's with numbers
    last = max(len(nodes) - 1 - behind, 0)
    if layer.op in {"dense1d", "fully_connected"} or (gap and flat):
        return nodes[max(len(nodes) - 1 - activated, 0)], nodes[last]
    return nodes[int(layer.op == "separable_convolutional")], nodes[last]


def weighs(layer: Layer) -> bool:
    """Whether a layer's weights are the float model's; those of an identity convolution are not."""
    weight = layer.constants.get("weight")
    if weight is None:
        return False
    square = weight.ndim == 4 and weight.shape[2:] == (1, 1) and weight.shape[0] == weight.shape[1] > 1
    return not (square and not (weight[:, :, 0, 0] - np.diag(np.diag(weight[:, :, 0, 0]))).any())


def _weights(model: Quantized, layer: Layer) -> Iterator[tuple[str, dict[str, Any]]]:
    """The convolution or dense layer, or both convolutions, of a layer, with what ``weight_quantizer`` says of it."""
    if not weighs(layer):
        return
    bits = weight_bits(model.target, model.config, layer.nodes, reads_input=model.integer.reads_input(layer))
    separable = layer.op == "separable_convolutional"
    if separable:
        yield layer.nodes[0], {"bitwidth": bits, "axis": -2}
    depthwise = layer.attributes.get("group", 1) > 1 and layer.op == "conv2d"
    yield ends(layer)[0], {"bitwidth": bits, **({"axis": -2} if depthwise else {})}


def _role(name: str, names: set[str]) -> tuple[str, str]:
    """The entry that a convolution's weights belong to, and their key there."""
    base = name.removesuffix(DEPTHWISE)
    if base != name and base in names:
        return base, "dw_weight_quantizer"
    return name, "pw_weight_quantizer" if name + DEPTHWISE in names else "weight_quantizer"


def _output(model: Quantized, layer: Layer) -> dict[str, Any]:
    params = model.integer.tensors[layer.outputs[0]]
    # Of 4 bits or fewer the chip's integers are unsigned, whatever one says.
    signed = {} if params.dtype.signed or params.dtype.bits <= 4 else {"signed": False}
    return {"bitwidth": params.dtype.bits, **signed, "axis": "per-axis" if params.scale.ndim else "per-tensor"}


def _buffers(layer: Layer) -> tuple[dict[str, int], dict[str, int]]:
    """Bits of the sum, and of what comes after it."""
    if layer.op in AKIDA1:
        return {}, {}
    of_sum = int(layer.attributes.get("buffer_bits", SUM_BITS.get(layer.op, POST.bits)))
    return {"buffer_bitwidth": of_sum}, {"buffer_bitwidth": int(layer.attributes.get("post_bits", POST.bits))}


def recognizes(data: Mapping[str, Any]) -> bool:
    """Whether plain data is such a configuration."""
    entries = [entry for entry in data.values() if isinstance(entry, dict)]
    return bool(entries) and len(entries) == len(data) and any(key in KEYS for entry in entries for key in entry)


def read(data: Mapping[str, Any]) -> Config:
    """The wishes that a configuration of this form says.

    Raises:
        QuaintError: QP510 for an unknown key, a value of the wrong type or one that the chip fixes, or buffers of one layer
            that cannot differ.
    """
    layers: dict[str, dict[str, Any]] = {}
    tables = any("lut_bitwidth" in entry for entry in data.values())
    for name, entry in data.items():
        _check(name, entry)
        output = entry.get("output_quantizer", {})
        if tables and (output.get("bitwidth"), output.get("axis")) == (INDEX.bits, "per-tensor"):  # a table's index
            output = {key: value for key, value in output.items() if key == "buffer_bitwidth"}
        wishes = _of_output(output) | {"buffer_bits": _buffer(name, entry, output)}
        roles = {"weight": name, "pw_weight": name, "dw_weight": name + DEPTHWISE}
        for role, convolution in roles.items():
            weight = entry.get(f"{role}_quantizer", {})
            layers.setdefault(convolution, {}).update(
                {"weight_bits": weight["bitwidth"]} if "bitwidth" in weight else {}
            )
        layers[name].update({key: value for key, value in wishes.items() if value is not None})
    return Config.from_dict({"layers": {name: wishes for name, wishes in layers.items() if wishes or name in data}})


def _of_output(output: Mapping[str, Any]) -> dict[str, Any]:
    bits = output.get("bitwidth", 8)
    return {
        "activation_bits": output.get("bitwidth"),
        # Of 4 bits or fewer the chip's integers are unsigned, whatever one says.
        "signed": output.get("signed") if not isinstance(bits, int) or bits > 4 else None,
        "per_tensor_activations": AXES.get(output.get("axis", "")),
    }


def _buffer(name: str, entry: Mapping[str, Any], output: Mapping[str, Any]) -> Any:
    """One bound for the sum and what comes after it: the chip's own 28 bits of a sum stay where the bound is 32."""
    given = [found["buffer_bitwidth"] for found in (entry, output) if "buffer_bitwidth" in found]
    if given == [min(SUM_BITS.values()), POST.bits]:
        return POST.bits
    if len(set(given)) > 1:
        hint = f"give both the same, or {min(SUM_BITS.values())} and {POST.bits}"
        raise QuaintError("QP510", f"the buffers of {name!r} have {sorted(given)} bits", hint=hint)
    return next(iter(given), None)


def _check(name: str, entry: Mapping[str, Any]) -> None:
    """Keys, kinds of their values, and values of those that leave no choice."""
    for key, value in entry.items():
        _known(f"{name}.{key}", key, KEYS)
        if isinstance(value, dict) != bool(KEYS[key]):
            raise QuaintError("QP510", f"configuration key '{name}.{key}' does not take {value!r}")
        for inner in value if isinstance(value, dict) else ():
            _known(f"{name}.{key}.{inner}", inner, KEYS[key])
        found = {f"{key}.{inner}": each for inner, each in value.items()} if isinstance(value, dict) else {key: value}
        for path, each in found.items():
            if path in FIXED and each != FIXED[path]:
                raise _fixed(f"{name}.{path}", each, FIXED[path])
            if path.endswith(".axis"):
                known = list(AXES) if key == "output_quantizer" else WEIGHT_AXES
                if each not in known:
                    hint = did_you_mean(str(each), map(str, known))
                    raise QuaintError("QP510", f"axis of {name!r} is not {each!r}", hint=hint)


def _known(where: str, key: str, known: Any) -> None:
    if key not in known:
        raise QuaintError("QP510", f"unknown configuration key {where!r}", hint=did_you_mean(key, known))


def _fixed(where: str, given: Any, own: Any) -> QuaintError:
    return QuaintError("QP510", f"the chip has {own} of '{where}', not {given!r}", hint="leave it out")


FORMAT = ConfigFormat(dump, recognizes, read)
