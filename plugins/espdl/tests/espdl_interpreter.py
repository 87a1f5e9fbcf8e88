"""An interpreter of ``.espdl`` models in NumPy, written from the runtime's arithmetic alone: nothing of Quaint's kernels.

Channel last as in the file.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from espdl_interpreter_accumulators import accumulated
from espdl_interpreter_floats import FLOATS
from numpy.lib.stride_tricks import sliding_window_view

from quaint_espdl.file.layout import WeightKind, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from quaint_espdl.file.elements import EspdlModel, EspdlNode

    Array = NDArray[Any]


class Interpreter:
    """Runs a model as the chip named in its metadata does.

    Args:
        model: read from a file.
    """

    def __init__(self, model: EspdlModel) -> None:
        graph = model.graph
        self.graph = graph
        chip = model.metadata["target"]
        self.narrow = chip == "esp32s3"
        self.grouped = chip in {"esp32p4", "esp32s31", "esp32s3"}
        self.half_even = chip in {"esp32p4", "esp32s31"}
        self.prelu_in_vectors = {"S8"} if self.half_even else {"S8", "S16"} if chip == "esp32s3" else set()
        self.constants = {tensor.name: tensor for tensor in graph.initializers}
        self.info = {info.name: info for info in (*graph.value_info, *graph.inputs, *graph.outputs)}
        self.values: dict[str, Array] = {}

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs for inputs, both in the file's layout."""
        plain = {name: tensor.array for name, tensor in self.constants.items() if tensor.layout == "UNK"}
        self.values = plain | dict(feeds)
        for node in self.graph.nodes:
            made = OPERATIONS[node.op_type](self, node)
            for output, value in zip(node.outputs, made if isinstance(made, tuple) else (made,), strict=True):
                info = self.info[output]
                assert value.size == math.prod(int(n) for n in info.dims), (
                    f"{node.name}: {value.shape} instead of {info.dims}"
                )
                self.values[output] = value.astype(info.dtype.numpy)
        return {info.name: self.values[info.name] for info in self.graph.outputs}

    def integers(self, name: str) -> Array:
        return self.values[name].astype(np.int64)

    def exponent(self, name: str) -> int:
        (exponent,) = (self.info if name in self.info else self.constants)[name].exponents
        return exponent

    def saturate(self, node: EspdlNode, value: Array) -> Array:
        bits = int(node.attributes["quant_type"][1:])
        return np.clip(value, -(1 << (bits - 1)), (1 << (bits - 1)) - 1)

    def shift(self, value: Array, bits: Array | int) -> Array:
        """``value * 2**-bits``, rounded as the chip rounds; ``bits`` may lie along the last axis."""
        value, bits = np.broadcast_arrays(np.asarray(value, np.int64), np.asarray(bits, np.int64))
        up, down = np.maximum(-bits, 0), np.maximum(bits, 1)
        floor = value >> down
        rest, half = value - (floor << down), np.int64(1) << (down - 1)
        more = (rest > half) | ((rest == half) & (floor & 1 == 1)) if self.half_even else rest >= half
        return np.where(bits > 0, floor + more, value << up)

    def round(self, value: Array) -> Array:
        assert value.dtype == np.float32
        wide = value.astype(np.float64)
        return (np.rint(wide) if self.half_even else np.floor(wide + 0.5)).astype(np.int64)


def windows(x: Array, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> Array:
    """[1, *map, C] as [1, *steps, C, *kernel]."""
    axes = tuple(range(1, 1 + len(kernel)))
    reach = [(n - 1) * step + 1 for n, step in zip(kernel, dilations, strict=True)]
    view = sliding_window_view(x, reach, axes)
    over_map: Any = (slice(None), *(slice(None, None, step) for step in strides))
    within: Any = (..., *(slice(None, None, step) for step in dilations))
    return np.asarray(view[over_map][within])


def padded(x: Array, pads: Sequence[int], fill: int) -> Array:
    rank = len(pads) // 2
    borders = [(0, 0), *((pads[i], pads[rank + i]) for i in range(rank)), (0, 0)]
    return np.pad(x, borders, constant_values=fill)


def accumulator(run: Interpreter, node: EspdlNode, values: Array, weight: Array) -> Array:
    """Bias and products, shift, activation, saturation."""
    source, weights, *bias = node.inputs
    entering, leaving = run.exponent(source), run.exponent(node.outputs[0])
    exponents = np.asarray(run.constants[weights].exponents)
    shift = leaving - entering - exponents
    assert (shift >= 0).all()
    assert (shift < 32).all()
    start = np.zeros(len(weight), np.int64)
    for name in bias:
        assert run.constants[name].exponents == tuple((exponents + entering).tolist())
        start += run.constants[name].array
    narrow = run.narrow and node.attributes["quant_type"] == "S8"
    acc = accumulated(values, weight, start, narrow=narrow, depthwise=WeightKind.of(node) is WeightKind.DEPTHWISE)
    out = run.shift(acc, shift)
    return run.saturate(node, np.maximum(out, 0) if node.attributes["activation"] == "Relu" else out)


def conv(run: Interpreter, node: EspdlNode) -> Array:
    wish = node.attributes
    x = padded(run.integers(node.inputs[0]), wish["pads"], 0)
    view = windows(x, wish["kernel_shape"], wish["strides"], wish["dilations"])
    kind = WeightKind.of(node)
    weight = unpack(run.constants[node.inputs[1]], kind).astype(np.int64)
    rank = len(wish["kernel_shape"])
    if kind is not WeightKind.DEPTHWISE:  # the input channels come last of all
        view, weight = np.moveaxis(view, -rank - 1, -1), np.moveaxis(weight, 1, -1)
    values = view.reshape(*view.shape[: 2 + rank - (kind is not WeightKind.DEPTHWISE)], -1)
    return accumulator(run, node, values, weight.reshape(len(weight), -1))


def gemm(run: Interpreter, node: EspdlNode) -> Array:
    weight = unpack(run.constants[node.inputs[1]], WeightKind.GEMM).astype(np.int64)
    return accumulator(run, node, run.integers(node.inputs[0]), weight)


def insert_zeros(run: Interpreter, node: EspdlNode) -> Array:
    x = run.integers(node.inputs[0])
    out = np.zeros([int(n) for n in run.info[node.outputs[0]].dims], np.int64)
    every = zip(x.shape[1:-1], node.attributes["stride"], strict=True)
    out[(slice(None), *(slice(0, (n - 1) * step + 1, step) for n, step in every))] = x
    return out


def max_pool(run: Interpreter, node: EspdlNode) -> Array:
    wish = node.attributes
    assert not wish["ceil_mode"]
    x = padded(run.integers(node.inputs[0]), wish["pads"], -(1 << 40))
    rank = len(wish["kernel_shape"])
    view = windows(x, wish["kernel_shape"], wish["strides"], wish["dilations"])
    return np.asarray(view.max(tuple(range(-rank, 0))))


def average(run: Interpreter, node: EspdlNode, total: Array, area: int) -> Array:
    scale = np.exp2(np.float32(run.exponent(node.inputs[0])))
    scale = scale * (np.float32(1) / np.float32(area)) * np.exp2(np.float32(-run.exponent(node.outputs[0])))
    return run.saturate(node, run.round(total.astype(np.float32) * np.float32(scale)))


def average_pool(run: Interpreter, node: EspdlNode) -> Array:
    wish = node.attributes
    assert not wish["ceil_mode"]
    assert wish["count_include_pad"]
    kernel = wish["kernel_shape"]
    x = padded(run.integers(node.inputs[0]), wish["pads"], 0)
    total = windows(x, kernel, wish["strides"], [1] * len(kernel)).sum(tuple(range(-len(kernel), 0)))
    return average(run, node, total, int(np.prod(kernel)))


def global_average_pool(run: Interpreter, node: EspdlNode) -> Array:
    x = run.integers(node.inputs[0])
    total = x.sum(tuple(range(1, x.ndim - 1)), keepdims=True)
    return average(run, node, total, int(np.prod(x.shape[1:-1])))


def add(run: Interpreter, node: EspdlNode) -> Array:
    assert len({run.exponent(name) for name in (*node.inputs, *node.outputs)}) == 1
    x, y = (run.integers(name) for name in node.inputs)
    return run.saturate(node, x - y if node.op_type == "Sub" else x + y)


def mul(run: Interpreter, node: EspdlNode) -> Array:
    x, y = (run.integers(name) for name in node.inputs)
    exponent = sum(run.exponent(name) for name in node.inputs) - run.exponent(node.outputs[0])
    return run.saturate(node, run.round((x * y).astype(np.float32) * np.float32(2.0**exponent)))


def compare(run: Interpreter, node: EspdlNode) -> Array:
    assert len({run.exponent(name) for name in node.inputs}) == 1
    x, y = (run.integers(name) for name in node.inputs)
    order = {"Greater": x > y, "GreaterOrEqual": x >= y, "Less": x < y, "LessOrEqual": x <= y, "Equal": x == y}
    return np.asarray(order[node.op_type])


def same_exponent(run: Interpreter, node: EspdlNode, *sources: str) -> list[Array]:
    """Inputs of a node that moves integers."""
    assert {run.exponent(name) for name in sources} == {run.exponent(node.outputs[0])}
    return [run.integers(name) for name in sources]


def concat(run: Interpreter, node: EspdlNode) -> Array:
    return np.concatenate(same_exponent(run, node, *node.inputs), node.attributes["axis"])


def transpose(run: Interpreter, node: EspdlNode) -> Array:
    return same_exponent(run, node, *node.inputs)[0].transpose(node.attributes["perm"])


def reshape(run: Interpreter, node: EspdlNode) -> Array:
    return same_exponent(run, node, node.inputs[0])[0].reshape(run.constants[node.inputs[1]].array)


def flatten(run: Interpreter, node: EspdlNode) -> Array:
    (x,) = same_exponent(run, node, node.inputs[0])
    return x.reshape(int(np.prod(x.shape[: node.attributes["axis"]])), -1)


def table(run: Interpreter, node: EspdlNode) -> Array:
    entries = run.constants[node.attributes["lut"]]
    assert entries.exponents == (run.exponent(node.outputs[0]),)
    x = run.integers(node.inputs[0])
    if node.attributes["quant_type"] == "S8":
        assert entries.dims == (256,)
        return np.asarray(entries.array[x + 128])
    step = node.attributes["int16_lut_step"]
    assert node.op_type == "LUT"
    assert entries.dims == (65536 // step + (step > 1),)
    place, rest = np.divmod(x + 32768, step)
    nearer = (2 * rest > step) | ((2 * rest == step) & (place % 2 == 1 if run.half_even else step > 1))
    return np.asarray(entries.array[place + nearer])


def prelu(run: Interpreter, node: EspdlNode) -> Array:
    """Vector code rounds, the C code cuts off and leaves what is not negative in the input's scale."""
    if "lut" in node.attributes:
        return table(run, node)
    source, slope = node.inputs
    assert run.exponent(source) == run.exponent(node.outputs[0])
    x, slopes = run.integers(source), run.constants[slope].array.reshape(-1).astype(np.int64)
    assert slopes.size == x.shape[-1]
    in_vectors = node.attributes["quant_type"] in run.prelu_in_vectors
    bits = -run.exponent(slope)
    assert bits >= 0
    return run.saturate(node, np.where(x < 0, run.shift(x * slopes, bits) if in_vectors else (x * slopes) >> bits, x))


def relu(run: Interpreter, node: EspdlNode) -> Array:
    if "lut" in node.attributes:
        return table(run, node)
    return np.maximum(same_exponent(run, node, *node.inputs)[0], 0)


def clip(run: Interpreter, node: EspdlNode) -> Array:
    (x,) = same_exponent(run, node, node.inputs[0])
    limits = [run.constants[name] for name in node.inputs[1:]]
    assert {limit.exponents for limit in limits} == {(run.exponent(node.inputs[0]),)}
    out = np.clip(x, *(limit.array for limit in limits))
    if "lut" in node.attributes:
        np.testing.assert_array_equal(table(run, node), out)
    return out


def requantize(run: Interpreter, node: EspdlNode) -> Array:
    source, output = node.inputs[0], node.outputs[0]
    return run.saturate(node, run.shift(run.integers(source), run.exponent(output) - run.exponent(source)))


OPERATIONS: dict[str, Callable[[Interpreter, EspdlNode], Array]] = {
    "Conv": conv,
    "Gemm": gemm,
    "InsertZeros": insert_zeros,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "Add": add,
    "Sub": add,
    "PRelu": prelu,
    "Mul": mul,
    "Concat": concat,
    "Transpose": transpose,
    "Reshape": reshape,
    "Flatten": flatten,
    "Relu": relu,
    "Clip": clip,
    "RequantizeLinear": requantize,
    **dict.fromkeys(("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"), compare),
    **FLOATS,
    **dict.fromkeys(
        ("Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "Gelu", "Exp", "Neg", "Swish", "LUT"), table
    ),
}
