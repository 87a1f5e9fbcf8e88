"""Random layers of both generations, as the chips have them, each an integer model of its own with what to feed it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from akida_layers import pads

from quaint.integer import IntegerModel, Layer
from quaint.numerics import IntType, QuantParams

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, np.dtype[Any]]
Random = np.random.Generator

UINT8, INT8, INT32 = IntType(8, signed=False), IntType(8, signed=True), IntType(32, signed=True)
BATCH = 3


@dataclass
class Net:
    """Layers that are added one by one; the last one's output is the model's."""

    random: Random
    entering: IntType
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        self.layers: list[Layer] = []
        self.tensors = {"x": QuantParams(1, self.entering)}
        self.shapes: dict[str, tuple[int | None, ...]] = {"x": (None, *self.shape)}

    def add(self, op: str, inputs: list[str], shape: tuple[int, ...], constants: Any, attributes: Any) -> str:
        """Append a layer; ``shape`` is its output's, without the batch."""
        name = f"y{len(self.layers)}"
        bits = attributes.get("activation_bits") or (attributes.get("output_bits") if op in TWO else None) or 32
        self.layers.append(Layer(op, tuple(inputs), (name,), constants, attributes, name))
        self.tensors[name] = QuantParams(1, IntType(bits, signed=bits > 4 or op == "shifted_add"))
        self.shapes[name] = (None, *shape)
        return name

    def model(self) -> IntegerModel:
        last = self.layers[-1].outputs
        return IntegerModel("random", ("x",), last, tuple(self.layers), self.tensors, self.shapes, "quaint.akida")

    def feeds(self) -> dict[str, Array]:
        """Random integers, and a sample of the largest ones."""
        low, high = self.entering.low, self.entering.high
        x = self.random.integers(low, high + 1, (BATCH, *self.shape))
        x[-1] = high
        return {"x": x.astype(self.entering.storage)}


TWO = ("conv2d", "conv2d_transpose", "dense1d", "buffer_temp_conv", "shifted_add", "concatenate")


def pick(random: Random, *choices: Any) -> Any:
    return choices[random.integers(len(choices))]


def geometry(random: Random, size: list[int], edge: int, stride: int, padding: str, pools: list[Any]) -> Any:
    """Attributes of a window and what follows it, and the map that comes out."""
    found: dict[str, Any] = {"strides": [stride] * 2, "pads": pads(size, edge, stride, padding)}
    out = [(n - edge) // stride + 1 if padding == "valid" else -(-n // stride) for n in size]
    kind = pick(random, *pools)
    if kind == "gap":
        return found | {"gap": True}, [1, 1]
    if kind is None or min(out) < kind[0]:
        return found, out
    pool, step = kind
    same = "valid" if padding == "valid" else "same"
    found |= {"pool": [pool] * 2, "pool_strides": [step] * 2, "pool_pads": pads(out, pool, step, same)}
    return found, [(n - pool) // step + 1 if padding == "valid" else -(-n // step) for n in out]


def weights(random: Random, shape: tuple[int, ...], bits: int) -> Array:
    """Random weights of the symmetric range; the whole range of 8 bits."""
    high = (1 << (bits - 1)) - 1
    return random.integers(-high - (bits == 8), high + 1, shape).astype(np.int8)


def levels1(random: Random, filters: int, spread: int, *, last: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """Thresholds and steps around potentials of the size ``spread``."""
    threshold = random.integers(-spread, spread + 1, filters)
    if last:
        return {"threshold": threshold}, {}
    bits = pick(random, 1, 2, 4, 4)
    step = random.integers(1, pick(random, 40, 2 * spread, 2 * spread), filters) << (4 - bits)
    return {"threshold": threshold, "step": step}, {"activation_bits": bits}


def entering1(random: Random) -> IntType:
    return IntType(pick(random, 1, 2, 4), signed=False)


def input_convolutional(random: Random) -> Net:
    channels, filters, edge = pick(random, 1, 3), int(random.integers(1, 9)), pick(random, 3, 5, 7)
    size = [int(n) for n in random.integers(8, 14, 2)]
    net, padding = Net(random, UINT8, (channels, *size)), pick(random, "same", "valid")
    attributes, out = geometry(random, size, edge, pick(random, 1, 2, 3), padding, [None, (2, 2)])
    constants, more = levels1(random, filters, 1 << 14)
    constants["weight"] = weights(random, (filters, channels, edge, edge), pick(random, 2, 4, 8))
    more["padding_value"] = int(random.integers(256))
    net.add("convolutional", ["x"], (filters, *out), constants, attributes | more)
    return net


def convolutional(random: Random) -> Net:
    channels, filters = (int(n) for n in random.integers(1, 9, 2))
    edge, stride = pick(random, (1, 1), (3, 1), (5, 1), (7, 1), (3, 2))
    size = [int(n) for n in random.integers(2, 13, 2)]
    net = Net(random, entering1(random), (channels, *size))
    pools = [None, "gap", *([(2, 2), (2, 1)] if stride == 1 else [])]
    attributes, out = geometry(random, size, edge, stride, "same", pools)
    constants, more = levels1(random, filters, 1 << 9, last=pick(random, True, False))
    constants["weight"] = weights(random, (filters, channels, edge, edge), pick(random, 2, 4))
    net.add("convolutional", ["x"], (filters, *out), constants, attributes | more)
    return net


def separable_convolutional(random: Random) -> Net:
    channels, filters = (int(n) for n in random.integers(1, 9, 2))
    edge, stride = pick(random, (3, 1), (5, 1), (7, 1), (3, 2))
    size, bits = [int(n) for n in random.integers(2, 13, 2)], pick(random, 2, 4)
    net = Net(random, entering1(random), (channels, *size))
    pools = [None, "gap", *([(2, 2), (2, 1)] if stride == 1 else [])]
    attributes, out = geometry(random, size, edge, stride, "same", pools)
    constants, more = levels1(random, filters, 1 << 11, last=pick(random, True, False))
    constants["weight"] = weights(random, (channels, 1, edge, edge), bits)
    constants["pointwise"] = weights(random, (filters, channels, 1, 1), bits)
    net.add("separable_convolutional", ["x"], (filters, *out), constants, attributes | more)
    return net


def fully_connected(random: Random) -> Net:
    """Some are so wide that their sum saturates."""
    shape = tuple(int(n) for n in random.integers(1, 7, 3)) if pick(random, True, True, False) else (160, 8, 8)
    units, inputs = int(random.integers(1, 9)), int(np.prod(shape))
    net = Net(random, entering1(random), shape)
    constants, more = levels1(random, units, 1 << 9, last=pick(random, True, False))
    constants["weight"] = weights(random, (inputs, units), pick(random, 2, 4))
    constants["weight"][:, 0] = np.abs(constants["weight"]).max()
    net.add("fully_connected", ["x"], (units,), constants, more)
    return net


def ending2(
    random: Random, filters: int, products: int, *, table: bool = True, widths: tuple[int, ...] = (4, 8, 8, 28)
) -> Any:
    """Bias, activation and scale-out, mostly such that sums of so many products neither vanish nor saturate."""
    bits = pick(random, *widths)
    size = 12 + int(np.log2(products) / 2)  # bits of such a sum
    made: dict[str, Any] = {
        "bias": random.integers(-128, 128, filters).astype(np.int8),
        "bias_shift": random.integers(0, pick(random, size - 6, size - 6, 32), filters),
        "output_scale": random.integers(1, 256, filters),
        "output_shift": np.clip(random.integers(-3, 4, filters) + size + 8 - bits + pick(random, 0, 0, 0, 9), 0, 31),
    }
    kind = pick(random, "none", "relu", "bounded", *["table"] * table)
    if bits == 28:
        del made["output_scale"], made["output_shift"]
        kind = "none"
    if kind == "relu":
        made |= {"max_value": np.full(filters, 127), "max_value_shift": np.full(filters, 31)}
    if kind == "bounded":
        made |= {"max_value": random.integers(0, 256, filters)}
        made["max_value_shift"] = random.integers(0, pick(random, size - 6, 32), filters)
    if kind == "table":
        made |= {"activation_scale": random.integers(1, 256, filters)}
        made |= {"activation_shift": np.clip(random.integers(-3, 4, filters) + size + 8 - 11, 0, 31)}
        made |= {"lut_values": random.integers(-8191, 8192, 2048)}
        made |= {"output_shift": random.integers(10, 18, filters)}
    return made, {"output_bits": bits}, kind


def input_conv2d(random: Random) -> Net:
    channels, filters, edge = pick(random, 1, 3), int(random.integers(1, 9)), pick(random, 3, 4, 5, 7)
    stride, size = int(random.integers(1, 4)), [int(n) for n in random.integers(8, 14, 2)]
    upper = stride == 2 and edge != 4
    net, padding = Net(random, UINT8, (channels, *size)), pick(random, "same", "valid", *["same-upper"] * upper)
    constants, more, kind = ending2(random, filters, edge**2 * channels, widths=(4, 8))
    pools = [None, (2, 2), (3, 2)] if kind != "table" and padding != "same-upper" else [None]
    attributes, out = geometry(random, size, edge, stride, padding, pools)
    constants |= {"weight": weights(random, (filters, channels, edge, edge), 8)}
    constants |= {"padding_value": random.integers(0, 256, channels).astype(np.uint8)}
    net.add("conv2d", ["x"], (filters, *out), constants, attributes | more | {"buffer_bits": 32})
    return net


def entering2(random: Random) -> IntType:
    bits = pick(random, 4, 8)
    return IntType(bits, signed=bits > 4)


def conv2d(random: Random, *, depthwise: bool = False) -> Net:
    channels, filters = (int(n) for n in random.integers(2, 9, 2))
    edges = [(3, 1), (5, 1), (7, 1), (3, 2)] + ([] if depthwise else [(1, 1), (1, 2)])
    (edge, stride), size = pick(random, *edges), [int(n) for n in random.integers(2, 13, 2)]
    filters = channels if depthwise else filters
    net = Net(random, entering2(random), (channels, *size))
    constants, more, kind = ending2(random, filters, edge**2 * (1 if depthwise else channels))
    padding = pick(random, "same", *["same-upper"] * (stride == 2))
    pools = [None, "gap", *([(2, 2), (2, 1)] if stride == 1 and kind != "table" else [])]
    attributes, out = geometry(random, size, edge, stride, padding, pools)
    constants["weight"] = weights(random, (filters, 1 if depthwise else channels, edge, edge), pick(random, 4, 8))
    net.add("conv2d", ["x"], (filters, *out), constants, attributes | more | {"group": channels if depthwise else 1})
    return net


def wide_conv2d(random: Random) -> Net:
    """Sums beyond the 28 bits of the buffer."""
    net = Net(random, INT8, (256, 4, 4))
    constants, more, _ = ending2(random, 2, 49 * 256 * 256)
    constants["weight"] = weights(random, (2, 256, 7, 7), 8)
    constants["weight"][0] = 127
    net.add("conv2d", ["x"], (2, 4, 4), constants, {"strides": [1, 1], "pads": [3] * 4, **more})
    return net


def conv2d_transpose(random: Random, *, depthwise: bool = False) -> Net:
    channels, filters = (int(n) for n in random.integers(2, 7, 2))
    edge, size = pick(random, 3, 4), [int(n) for n in random.integers(2, 7, 2)]
    net = Net(random, entering2(random), (channels, *size))
    constants, more, _ = ending2(random, channels if depthwise else filters, 4 if depthwise else 4 * channels)
    shape = (channels, 1 if depthwise else filters, edge, edge)
    constants["weight"] = weights(random, shape, pick(random, 4, 8))
    more |= {"group": channels if depthwise else 1, "pads": [(edge - 2) // 2] * 2 + [edge - 2 - (edge - 2) // 2] * 2}
    filters = channels if depthwise else filters
    net.add("conv2d_transpose", ["x"], (filters, *(2 * n for n in size)), constants, more)
    return net


def dense1d(random: Random) -> Net:
    shape, units = tuple(int(n) for n in random.integers(1, 9, 3)), int(random.integers(1, 9))
    net = Net(random, entering2(random), shape)
    constants, more, _ = ending2(random, units, int(np.prod(shape)), widths=(4, 8, 32))
    if more["output_bits"] == 32:
        constants = {name: constants[name] for name in ("bias", "bias_shift")}
    constants["weight"] = weights(random, (int(np.prod(shape)), units), pick(random, 4, 8))
    net.add("dense1d", ["x"], (units,), constants, more)
    return net


def buffer_temp_conv(random: Random, *, depthwise: bool = False) -> Net:
    channels, filters = (int(n) for n in random.integers(2, 6, 2))
    steps, flat = int(random.integers(2, 11)), pick(random, True, False)
    filters, size = channels if depthwise else filters, [] if flat else [int(n) for n in random.integers(1, 5, 2)]
    net = Net(random, INT8, (channels, 6, *size))
    constants, more, _ = ending2(random, filters, steps if depthwise else steps * channels, table=False, widths=(4, 8))
    shape = (filters, 1 if depthwise else channels, steps, *[1] * len(size))
    constants["weight"] = weights(random, shape, pick(random, 4, 8))
    more["group"] = channels if depthwise else 1
    net.add("buffer_temp_conv", ["x"], (filters, 6, *size), constants, more)
    return net


def joined(random: Random, op: str) -> Net:
    """An Add or a Concatenate of two pointwise convolutions."""
    channels, size = int(random.integers(2, 7)), [int(n) for n in random.integers(2, 6, 2)]
    net = Net(random, INT8, (channels, *size))
    for _ in range(2):
        constants, _, _ = ending2(random, channels, channels, table=False, widths=(8,))
        constants |= {"weight": weights(random, (channels, channels, 1, 1), 8)}
        net.add("conv2d", ["x"], (channels, *size), constants, {"strides": [1, 1], "pads": [0] * 4, "output_bits": 8})
    if op == "concatenate":
        net.add(op, ["y0", "y1"], (2 * channels, *size), {}, {"output_bits": 8})
        net.layers[-1] = Layer(op, ("y0", "y1"), ("y2",), name="y2")
        return net
    shifts = {name: random.integers(0, pick(random, 3, 16), channels) for name in ("a_shift", "b_shift")}
    largest = np.maximum(shifts["a_shift"], shifts["b_shift"])
    shifts["output_shift"] = largest + random.integers(-3, 5, channels)
    net.add(op, ["y0", "y1"], (channels, *size), shifts, {"output_bits": pick(random, 4, 8), "buffer_bits": 32})
    return net


AKIDA1: dict[str, Callable[[Random], Net]] = {
    made.__name__: made for made in (input_convolutional, convolutional, separable_convolutional, fully_connected)
}
AKIDA2: dict[str, Callable[[Random], Net]] = {
    made.__name__: made for made in (input_conv2d, conv2d, wide_conv2d, conv2d_transpose, dense1d, buffer_temp_conv)
}
AKIDA2 |= {
    f"depthwise_{made.__name__}": partial(made, depthwise=True) for made in (conv2d, conv2d_transpose, buffer_temp_conv)
}
SINGLE = AKIDA1 | AKIDA2
AKIDA2 |= {op: partial(joined, op=op) for op in ("shifted_add", "concatenate")}
