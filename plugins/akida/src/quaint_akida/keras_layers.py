"""QuantizeML's Keras layers, written out in ONNX; those of transformers in the forms that ``transformer`` and ``tokens`` know.

Source: QuantizeML's documentation of these layers. They are registered under Keras' default package, ``Custom``.
"""

from __future__ import annotations

from math import log

import numpy as np
import onnx_ir as ir

from quaint.errors import QuaintError
from quaint.frontends.keras.emit import Emitter, Layer, Tensor
from quaint.frontends.keras.offered import KerasLayer


def _shiftmax(emit: Emitter, name: str, x: ir.Value) -> ir.Value:
    """``2**(l - round(log2(sum(2**l))))`` with ``l = floor(x) - max(floor(x))``, along the last axis."""
    last, two = emit.constant(f"{name}/axis", [-1], np.int64), emit.constant(f"{name}/two", 2.0)
    whole = emit.node("Floor", f"{name}/floor", [x])
    largest = emit.node("ReduceMax", f"{name}/max", [whole, last], keepdims=1)
    logits = emit.node("Sub", f"{name}/logits", [whole, largest])
    powers = emit.node("Pow", f"{name}/powers", [two, logits])
    total = emit.node("Log", f"{name}/log", [emit.node("ReduceSum", f"{name}/sum", [powers, last], keepdims=1)])
    log2_total = emit.node("Div", f"{name}/log2", [total, emit.constant(f"{name}/ln2", log(2.0))])
    shift = emit.node("Round", f"{name}/round", [log2_total])
    return emit.node("Pow", name, [two, emit.node("Sub", f"{name}/quotient", [logits, shift])])


def _shiftmax_layer(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    x = inputs[0]
    if layer.config.get("axis", -1) not in {-1, x.rank - 1}:
        raise layer.unsupported("an axis other than the last")
    return Tensor(x.rank, last=_shiftmax(emit, layer.name, emit.last(x)))


def _attention(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    """Scores are multiplied by ``2**-round(log2(sqrt(channels / heads)))``."""
    if len(inputs) != 3 or any(x.rank != 3 for x in inputs):
        raise layer.unsupported("another input than query, key and value of [batch, tokens, channels]")
    name, softmax = layer.name, layer.config.get("softmax", "softmax")
    shape = emit.constant(f"{layer.path}/heads", [0, 0, int(layer.config["num_heads"]), -1], np.int64)
    perms = ("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])
    split = [
        emit.node("Reshape", f"{name}/{role}/split", [emit.last(x), shape])
        for x, (role, _) in zip(inputs, perms, strict=True)
    ]
    query, key, value = (
        emit.node("Transpose", f"{name}/{role}", [x], perm=perm) for x, (role, perm) in zip(split, perms, strict=True)
    )
    product = emit.node("MatMul", f"{name}/product", [query, key])
    scores = emit.node("Mul", f"{name}/scores", [product, _scale(emit, name, split[0])])
    if softmax in {"shiftmax", "softmax2"}:  # softmax2 is its old name
        mask = _shiftmax(emit, f"{name}/mask", scores)
    else:
        mask = emit.node("Softmax", f"{name}/mask", [scores], axis=-1)
    mixed = emit.node("MatMul", f"{name}/mixed", [mask, value])
    merged = emit.node("Transpose", f"{name}/merged", [mixed], perm=[0, 2, 1, 3])
    hidden = emit.constant(f"{layer.path}/hidden", [0, 0, -1], np.int64)
    return Tensor(3, last=emit.node("Reshape", name, [merged, hidden]))


def _scale(emit: Emitter, name: str, split: ir.Value) -> ir.Value:
    """From the size of a head, which the configuration does not tell: a constant once shapes are known."""
    size = emit.node("Shape", f"{name}/dim", [split], start=3, end=4)
    logarithm = emit.node("Log", f"{name}/ln", [emit.node("Cast", f"{name}/size", [size], to=ir.DataType.DOUBLE)])
    half = emit.node("Div", f"{name}/half", [logarithm, emit.constant(f"{name}/ln4", log(4.0), np.float64)])
    shift = emit.node("Neg", f"{name}/shift", [emit.node("Round", f"{name}/nearest", [half])])
    power = emit.node("Pow", f"{name}/power", [emit.constant(f"{name}/base", 2.0, np.float64), shift])
    return emit.node("Cast", f"{name}/scale", [power], to=ir.DataType.FLOAT)


def _layer_mad_normalization(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    x, name = inputs[0], layer.name
    if [int(axis) % x.rank for axis in np.ravel(layer.config.get("axis", -1))] != [x.rank - 1]:
        raise layer.unsupported("an axis other than the last")
    last = emit.constant(f"{name}/axis", [-1], np.int64)
    absolute = emit.node("Abs", f"{name}/abs", [emit.last(x)])
    mean = emit.node("ReduceMean", f"{name}/mad", [absolute, last], keepdims=1)
    value = emit.node("Div", f"{name}/div", [emit.last(x), mean])
    for role, op in (("gamma", "Mul"), ("beta", "Add")):
        if role in layer.weights:
            value = emit.node(op, f"{name}/{role}", [value, emit.constant(f"{layer.path}/{role}", layer.weights[role])])
    return Tensor(x.rank, last=value)


def _class_token(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    x, name = inputs[0], layer.name
    pads = emit.constant(f"{name}/pads", [0, 1, 0, 0, 0, 0], np.int64)
    room = emit.node("Pad", f"{name}/pad", [emit.last(x), pads], mode="constant")
    return Tensor(x.rank, last=emit.node("Add", name, [room, _first_row(emit, layer, room)]))


def _first_row(emit: Emitter, layer: Layer, room: ir.Value) -> ir.Value:
    """The token, and zeros for the others, as many as ``room`` has: a constant once shapes are known."""
    name = layer.name
    count = emit.node("Shape", f"{name}/tokens", [room], start=1, end=2)
    one = emit.constant(f"{name}/one", [1], np.int64)
    others = emit.node("Sub", f"{name}/others", [count, one])
    front, end = emit.constant(f"{name}/front", [0] * 4, np.int64), emit.constant(f"{name}/end", [0], np.int64)
    pads = emit.node("Concat", f"{name}/behind", [front, others, end], axis=0)
    token = emit.constant(f"{layer.path}/cls", layer.weights["cls"])
    return emit.node("Pad", f"{name}/token", [token, pads], mode="constant")


def _add_position_embs(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    x, table = inputs[0], emit.constant(f"{layer.path}/pos_embedding", layer.weights["pos_embedding"])
    return Tensor(x.rank, last=emit.node("Add", layer.name, [emit.last(x), table]))


def _extract_token(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    x, token = inputs[0], np.asarray(layer.config["token"], np.int64)
    if layer.config.get("axis", 1) != 1 or token.size != 1:
        raise layer.unsupported("anything but one token along axis 1")
    index = emit.constant(f"{layer.name}/index", token, np.int64)
    value = emit.node("Gather", layer.name, [emit.last(x), index], axis=1)
    return Tensor(x.rank - 1 + token.ndim, last=value)


def _depthwise_transposed(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:
    """``same`` gives input * stride; the odd row of what is cut off goes to the end, as in TensorFlow.

    QuantizeML's layer takes an activation and does not apply it: refused, since nobody can have meant that.
    """
    x, config = inputs[0], layer.config
    weight = layer.weights["depthwise_kernel"]  # [rows, columns, channels, multiplier]
    if config.get("padding") != "same" or weight.shape[3] != 1 or any(n != 1 for n in config.get("dilation_rate", ())):
        raise layer.unsupported("padding other than same, a depth multiplier or dilation")
    if config.get("activation") not in {None, "linear"}:
        raise layer.unsupported("an activation, which belongs into a layer of its own,")
    strides = [int(n) for n in config["strides"]]
    cut = [n - stride for n, stride in zip(weight.shape[:2], strides, strict=True)]
    begin = [max(total, 0) // 2 for total in cut]
    settings = {
        "strides": strides,
        "pads": [*begin, *(max(total, 0) - first for total, first in zip(cut, begin, strict=True))],
        "output_padding": [max(-total, 0) for total in cut],
    }
    operands = [emit.take(x, channels_last=layer.channels_last)]
    operands.append(emit.constant(f"{layer.path}/depthwise_kernel", weight.transpose(2, 3, 0, 1)))
    if "bias" in layer.weights:
        operands.append(emit.constant(f"{layer.path}/bias", layer.weights["bias"]))
    value = emit.node("ConvTranspose", layer.name, operands, group=weight.shape[2], **settings)
    return emit.give(value, x.rank, channels_last=layer.channels_last)


def _buffered(emit: Emitter, layer: Layer, inputs: list[Tensor]) -> Tensor:  # noqa: ARG001
    """One frame a call, and a memory between calls: no function of its input."""
    what = f"{layer.kind} remembers frames between calls, a model here is a function of its inputs"
    hint = "give time an axis: Conv3D over (frames, 1, 1) behind ZeroPadding3D(((frames - 1, 0), (0, 0), (0, 0)))"
    raise QuaintError("QM150", what, where=layer.name, hint=hint)


SHIFTMAX = KerasLayer(_shiftmax_layer)
ATTENTION = KerasLayer(_attention)
LAYER_MAD_NORMALIZATION = KerasLayer(_layer_mad_normalization, ("gamma", "beta"))
CLASS_TOKEN = KerasLayer(_class_token, ("cls",))
ADD_POSITION_EMBS = KerasLayer(_add_position_embs, ("pos_embedding",))
EXTRACT_TOKEN = KerasLayer(_extract_token)
DEPTHWISE_CONV2D_TRANSPOSE = KerasLayer(_depthwise_transposed, ("depthwise_kernel", "bias"))
BUFFER_TEMP_CONV = KerasLayer(_buffered, ("kernel", "bias"))
