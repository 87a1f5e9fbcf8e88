"""QuantizeML's configuration: layer name -> its quantizers, as plain data.

A layer's entry has ``output_quantizer`` (``bitwidth``, ``signed``, ``axis``: ``per-tensor`` or ``per-axis``,
``buffer_bitwidth``), ``weight_quantizer`` (``bitwidth``, ``axis``) and ``buffer_bitwidth``. Source: QuantizeML's user guide,
"Advanced quantization", and the docstring of ``dump_config``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.config import Config
from quaint.errors import QuaintError
from quaint.specs import weight_bits
from quaint.suggest import did_you_mean
from quaint.target import ConfigFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quaint.integer import Layer
    from quaint.quantized import Quantized

#: Of buffers, where nothing is said.
BUFFER_BITS = 32
#: Keys of a layer, with those of the table behind each; an empty one for a number.
KEYS: dict[str, tuple[str, ...]] = {
    "output_quantizer": ("bitwidth", "signed", "axis", "buffer_bitwidth"),
    "weight_quantizer": ("bitwidth", "axis"),
    "buffer_bitwidth": (),
}
AXES = {"per-tensor": True, "per-axis": False}
#: Constants that tell that a layer ends in an activation function.
ACTIVATED = ("max_value", "lut_values", "step")


def dump(model: Quantized) -> dict[str, dict[str, Any]]:
    """The entry of each layer of a quantized model, in the order of execution."""
    entries: dict[str, dict[str, Any]] = {}
    for layer in model.integer.integer_layers:
        name, last = ends(layer)
        if layer.op in {"transpose", "reshape", "concatenate"}:
            continue
        if weighs(layer):
            entries[name] = {"weight_quantizer": _weight(model, layer), **_buffer(model, name)}
        params = model.integer.tensors[layer.outputs[0]]
        if "output_scale" in layer.constants or "output_shift" in layer.constants or "step" in layer.constants:
            bits, buffer = params.dtype.bits, _buffer(model, last)
            # Of 4 bits or fewer the chip's integers are unsigned, whatever one says.
            signed = {} if params.dtype.signed or bits <= 4 else {"signed": False}
            axis = "per-axis" if params.scale.ndim else "per-tensor"
            output = {"bitwidth": bits, **signed, "axis": axis, **buffer}
            entries[last] = {"output_quantizer": output, **entries.get(last, {}), **buffer}
    return entries


def ends(layer: Layer) -> tuple[str, str]:
    """The float layer whose weights a layer has, and the one whose output it gives: its activation, where it has one."""
    activated = any(name in layer.constants for name in ACTIVATED)
    main = max(len(layer.nodes) - 1 - activated, 0) if layer.op in {"dense1d", "fully_connected"} else 0
    if "lut_values" in layer.constants:
        return layer.nodes[main], layer.nodes[-1]
    return layer.nodes[main], layer.nodes[min(main + (activated and weighs(layer)), len(layer.nodes) - 1)]


def weighs(layer: Layer) -> bool:
    """Whether a layer's weights are the float model's; those of an identity convolution are not."""
    weight = layer.constants.get("weight")
    if weight is None:
        return False
    square = weight.ndim == 4 and weight.shape[2:] == (1, 1) and weight.shape[0] == weight.shape[1] > 1
    return not (square and not (weight[:, :, 0, 0] - np.diag(np.diag(weight[:, :, 0, 0]))).any())


def _weight(model: Quantized, layer: Layer) -> dict[str, Any]:
    first = model.integer.reads_input(layer)
    bits = weight_bits(model.target, model.config, layer.nodes, reads_input=first)
    depthwise = layer.attributes.get("group", 1) > 1 and layer.op == "conv2d"
    return {"bitwidth": bits, **({"axis": -2} if depthwise else {})}


def _buffer(model: Quantized, name: str) -> dict[str, int]:
    given = model.config.for_layer([name]).get("buffer_bits", model.config.buffer_bits)
    return {"buffer_bitwidth": int(given or BUFFER_BITS)}


def recognizes(data: Mapping[str, Any]) -> bool:
    """Whether plain data is such a configuration."""
    entries = [entry for entry in data.values() if isinstance(entry, dict)]
    return bool(entries) and len(entries) == len(data) and any(key in KEYS for entry in entries for key in entry)


def read(data: Mapping[str, Any]) -> Config:
    """The wishes that a configuration of this form says.

    Raises:
        QuaintError: QP510 for an unknown key, a value of the wrong type, or buffers of one layer that differ.
    """
    return Config.from_dict({"layers": {name: _wishes(name, entry) for name, entry in data.items()}})


def _wishes(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in entry.items():
        _check(f"{name}.{key}", key, KEYS)
        if isinstance(value, dict) != bool(KEYS[key]):
            raise QuaintError("QP510", f"configuration key '{name}.{key}' does not take {value!r}")
        for inner in value if isinstance(value, dict) else ():
            _check(f"{name}.{key}.{inner}", inner, KEYS[key])
    output, weight = entry.get("output_quantizer", {}), entry.get("weight_quantizer", {})
    if output.get("axis", "per-axis") not in AXES:
        hint = did_you_mean(str(output["axis"]), AXES)
        raise QuaintError("QP510", f"axis of {name!r} is not {output['axis']!r}", hint=hint)
    buffers = {found["buffer_bitwidth"] for found in (entry, output) if "buffer_bitwidth" in found}
    if len(buffers) > 1:
        raise QuaintError("QP510", f"the buffers of {name!r} have {sorted(buffers)} bits", hint="give both the same")
    bits = output.get("bitwidth", 8)
    wishes = {
        "activation_bits": output.get("bitwidth"),
        # Of 4 bits or fewer the chip's integers are unsigned, whatever one says.
        "signed": output.get("signed") if not isinstance(bits, int) or bits > 4 else None,
        "per_tensor_activations": AXES.get(output.get("axis", "")),
        "weight_bits": weight.get("bitwidth"),
        "buffer_bits": next(iter(buffers), None),
    }
    return {key: value for key, value in wishes.items() if value is not None}


def _check(where: str, key: str, known: Any) -> None:
    if key not in known:
        raise QuaintError("QP510", f"unknown configuration key {where!r}", hint=did_you_mean(key, known))


FORMAT = ConfigFormat(dump, recognizes, read)
