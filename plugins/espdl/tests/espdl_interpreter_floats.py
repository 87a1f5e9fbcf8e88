"""Float operations of the interpreter: scalar loops in float32, as the runtime's C code has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from espdl_interpreter import Interpreter
    from numpy.typing import NDArray

    from quaint_espdl.file.elements import EspdlNode

    Array = NDArray[Any]

F = np.float32


def reals(run: Interpreter, name: str) -> Array:
    """What the integers of a tensor or a constant stand for."""
    if name in run.info:
        return run.integers(name).astype(F) * F(2.0 ** run.exponent(name))
    tensor = run.constants[name]
    return tensor.array.astype(F) * F(2.0 ** (tensor.exponents[0] if tensor.array.dtype.kind == "i" else 0))


def stored(run: Interpreter, node: EspdlNode, x: Array) -> Array:
    """Floats as the integers of the node's output."""
    with np.errstate(over="ignore"):
        scaled = np.asarray(x, F) * F(2.0 ** -run.exponent(node.outputs[0]))
    return run.saturate(node, run.round(np.clip(np.nan_to_num(scaled, nan=0), F(-1e6), F(1e6))))


def summed(row: Array) -> Any:
    total = F(0)
    for value in row:
        total = F(total + value)
    return total


def quantize(run: Interpreter, node: EspdlNode) -> Array:
    return stored(run, node, run.values[node.inputs[0]])


def layer_norm(run: Interpreter, node: EspdlNode) -> Array:
    x, weight, *more = (reals(run, name) for name in node.inputs)
    bias = more[0] if more else F(0)
    assert node.attributes["axis"] == -1

    def normalized(row: Array) -> Array:
        centred = row - summed(row) / F(len(row))
        variance = summed(centred * centred) / F(len(row))
        return np.asarray(centred / np.sqrt(variance + F(node.attributes["epsilon"])) * weight + bias)

    return stored(run, node, np.apply_along_axis(normalized, -1, x))


def rms_norm(run: Interpreter, node: EspdlNode) -> Array:
    x, weight = (reals(run, name) for name in node.inputs)
    scale = F(2.0 ** run.exponent(node.inputs[0]))
    squares = (run.integers(node.inputs[0]) ** 2).sum(-1, keepdims=True).astype(F) * (scale * scale)
    inverse = F(1) / np.sqrt(squares / F(x.shape[-1]) + F(node.attributes["epsilon"]))
    return stored(run, node, x * inverse * weight)


def lp_norm(run: Interpreter, node: EspdlNode) -> Array:
    raw, axis = run.integers(node.inputs[0]), node.attributes["axis"]
    scale = F(2.0 ** run.exponent(node.inputs[0]))
    total = (np.abs(raw) ** node.attributes["p"]).sum(axis, keepdims=True).astype(F)
    norm = (total if node.attributes["p"] == 1 else np.sqrt(total)) * scale
    inverse = F(1) / np.where(norm == 0, F(1), norm)
    return stored(run, node, reals(run, node.inputs[0]) * inverse)


def divide(run: Interpreter, node: EspdlNode) -> Array:
    x, y = (
        run.integers(name).astype(F) if name in run.info else run.constants[name].array.astype(F)
        for name in node.inputs
    )
    exponents = [run.exponent(name) for name in (*node.inputs, *node.outputs)]
    factor = F(2.0 ** (exponents[0] - exponents[1] - exponents[2]))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = x * (factor / y) if y.size == 1 and node.attributes["quant_type"] == "S8" else x * factor / y
    return run.saturate(node, run.round(np.clip(np.nan_to_num(ratio, nan=0), F(-1e6), F(1e6))))


def remainder(run: Interpreter, node: EspdlNode) -> Array:
    assert node.attributes["fmod"] == 1
    with np.errstate(invalid="ignore"):
        return stored(run, node, np.fmod(*(reals(run, name) for name in node.inputs)))


def power(run: Interpreter, node: EspdlNode) -> Array:
    x, y = (reals(run, name).astype(np.float64) for name in node.inputs)
    with np.errstate(all="ignore"):
        return stored(run, node, np.power(x, y).astype(F))


def softmax(run: Interpreter, node: EspdlNode) -> Array:
    raw, axis = run.integers(node.inputs[0]), node.attributes["axis"]
    narrow = node.op_type == "Softmax" and node.attributes["quant_type"] == "S8"

    def of_row(row: Array) -> Array:
        shifted = (row if narrow else row - row.max()).astype(F) * F(2.0 ** run.exponent(node.inputs[0]))
        terms = np.exp(shifted.astype(np.float64)).astype(F)
        total = summed(terms)
        return np.asarray(shifted - F(np.log(np.float64(total))) if node.op_type == "LogSoftmax" else terms / total)

    return np.apply_along_axis(of_row, axis, raw)


FLOATS: dict[str, Callable[[Interpreter, EspdlNode], Array]] = {
    "QuantizeLinear": quantize,
    "LayerNormalization": layer_norm,
    "RMSNormalization": rms_norm,
    "LpNormalization": lp_norm,
    "Div": divide,
    "Mod": remainder,
    "Pow": power,
    "Softmax": softmax,
    "LogSoftmax": softmax,
}
