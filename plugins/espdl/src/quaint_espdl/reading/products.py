"""Nodes with weights or windows as layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.layers.kernels import window_steps
from quaint_espdl.file.layout import WeightKind, unpack
from quaint_espdl.reading.view import Node, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.integer import Layer

    Ints = NDArray[np.int64]

#: How a file says that the right operand of a MatMul lies row by row.
NATIVE = "native_kn"


def _weights(node: Node, kind: WeightKind) -> tuple[NDArray[Any], Ints]:
    """Weights in the order of ONNX, and their exponents: one, or one for each output channel."""
    edge = node.input(1)
    if edge.tensor is None:
        raise Unsupported("its weights are not constant")
    given = node.input(0).dtype
    if edge.dtype is not given:
        released = ": no released runtime has it" if node.attributes.get("quant_type") == "W8A16" else ""
        raise Unsupported(f"weights of {edge.dtype.name} with inputs of {given.name}{released}")
    if edge.is_real:
        raise Unsupported("the runtime has no such product of floats")
    exponents = np.asarray(edge.exponents, np.int64)
    exponents = exponents[0] if len(set(edge.exponents)) == 1 else exponents
    return unpack(edge.tensor, kind), np.asarray(exponents)


def _accumulation(node: Node, weight_exponents: Ints, channels: int) -> dict[str, Any]:
    """Bias and output stage."""
    bias = node.optional(2)
    stage = node.stage(node.input(0).exponent + weight_exponents)
    return {"bias": np.zeros(channels, np.int64) if bias is None else bias.array, **stage}


def _window(node: Node, rank: int, *names: str) -> dict[str, list[int]]:
    """Attributes of a sliding window."""
    if node.attributes.get("auto_pad", "NOTSET") != "NOTSET" and "pads" not in node.attributes:
        raise Unsupported(f"auto_pad {node.attributes['auto_pad']}")
    neutral = {"strides": [1] * rank, "dilations": [1] * rank, "pads": [0] * 2 * rank}
    return {name: [*node.attributes.get(name, neutral.get(name))] for name in names}


def _check_map(
    node: Node, channels: int, kernel: Sequence[int], window: Mapping[str, Sequence[int]], *, ceil_mode: bool = False
) -> None:
    """Refuse a window that does not make a map of the output's sizes.

    Raises:
        ValueError: it does not, or makes none at all.
    """
    x, rank = node.input(0).dims, len(kernel)
    strides, pads, dilations = window["strides"], window["pads"], window.get("dilations", [1] * rank)
    if min((*kernel, *strides, *dilations), default=0) < 1 or min(pads) < 0:
        raise ValueError(f"no window: {dict(window)} of {list(kernel)}")
    axes = zip(x[1:-1], kernel, strides, dilations, pads[:rank], pads[rank:], strict=True)
    steps = [
        window_steps(size, (n - 1) * apart + 1, step, begin, end, ceil_mode=ceil_mode)
        for size, n, step, apart, begin, end in axes
    ]
    made = [x[0], *steps, channels]
    if made != list(node.output.dims):
        raise ValueError(f"{list(x)} becomes {made}, not {list(node.output.dims)}")


def conv(node: Node) -> Layer:
    """Plain or depthwise convolution."""
    source, group = node.input(0), node.attributes.get("group", 1)
    kind = WeightKind.CONV if group == 1 else WeightKind.DEPTHWISE
    if group not in {1, source.dims[-1]}:
        raise Unsupported(f"{group} groups of {source.dims[-1]} channels")
    weight, exponents = _weights(node, kind)
    window = _window(node, weight.ndim - 2, "strides", "pads", "dilations")
    _check_map(node, len(weight), weight.shape[2:], window)
    if source.dims[-1] != weight.shape[1] * group:
        raise ValueError(f"weights for {weight.shape[1] * group} channels, not {source.dims[-1]}")
    return node.layer(
        "Conv", source, weight=weight, group=group, **window, **_accumulation(node, exponents, len(weight))
    )


def gemm(node: Node) -> Layer:
    """Dense layer over the last axis."""
    weight, exponents = _weights(node, WeightKind.GEMM)
    matrix = np.ascontiguousarray(weight.T)
    if node.input(0).dims[-1] != len(matrix):
        raise ValueError(f"weights for {len(matrix)} numbers, not {node.input(0).dims[-1]}")
    return node.layer("gemm", node.input(0), weight=matrix, **_accumulation(node, exponents, len(weight)))


def matmul(node: Node) -> Layer:
    """Product of two tensors, or of one with a constant.

    A computed right operand lies in the order of packed weights unless the file says otherwise.
    """
    x, y = node.input(0), node.input(1)
    if x.tensor is not None or x.is_real:
        raise Unsupported("a constant or float left operand")
    shape = list(node.output.dims)
    if y.tensor is None:
        stage = node.stage(x.exponent + y.exponent)
        if len(y.dims) == 1 or node.attributes.get("input1_layout") == NATIVE:
            return node.layer("MatMul", x, y, shape=shape, **stage)
        group = node.chip.target.limits["alignment"][y.integers.bits] or 0
        return node.layer("PackedMatMul", x, y, group=group, shape=shape, **stage)
    packed = y.tensor.layout not in {"", "UNK"}
    weight = unpack(y.tensor, WeightKind.MATMUL) if packed else y.array
    weight = weight[:, None] if weight.ndim == 1 else weight
    return node.layer("MatMul", x, weight=weight, shape=shape, **node.stage(x.exponent + y.exponent))


def _average(node: Node, area: int) -> dict[str, Any]:
    """The runtime's multiplier, in float32 from left to right: ``2**e_in * (1 / area) * 2**-e_out``."""
    share = np.float32(1) / np.float32(area)
    factor = np.float32(node.input(0).scale) * share * np.float32(1 / node.output.scale)
    return {"multiplier": np.asarray(factor, np.float32), "rounding": str(node.chip.rounding), **node.limits()}


def average_pool(node: Node) -> Layer:
    """Sum of each window, times a float32 multiplier."""
    size = node.input(0).dims[1:-1]
    window = _window(node, len(size), "kernel_shape", "strides", "pads")
    ceil_mode = bool(node.attributes.get("ceil_mode", 0))
    _check_map(node, node.input(0).dims[-1], window["kernel_shape"], window, ceil_mode=ceil_mode)
    area = int(np.prod(window["kernel_shape"]))  # with the border, whatever count_include_pad says
    return node.layer("AveragePool", ceil_mode=ceil_mode, **window, **_average(node, area))


def global_average_pool(node: Node) -> Layer:
    """Sum over the map, times a float32 multiplier."""
    size = node.input(0).dims[1:-1]
    _check_map(node, node.input(0).dims[-1], size, {"strides": [1] * len(size), "pads": [0] * 2 * len(size)})
    return node.layer("GlobalAveragePool", **_average(node, int(np.prod(size))))


def max_pool(node: Node) -> Layer:
    """Largest integer of each window."""
    node.output.integers  # noqa: B018 - refuses floats
    rank = len(node.input(0).dims) - 2
    window = _window(node, rank, "kernel_shape", "strides", "pads", "dilations")
    ceil_mode = bool(node.attributes.get("ceil_mode", 0))
    _check_map(node, node.input(0).dims[-1], window["kernel_shape"], window, ceil_mode=ceil_mode)
    return node.layer("MaxPool", ceil_mode=ceil_mode, **window)


def prelu(node: Node) -> Layer:
    """A slope for each channel where negative; rounded in vector instructions, else as the C code has it.

    The C code leaves what is not negative in its scale, and cuts off the fraction of the rest.
    """
    x, slope, out = node.input(0), node.input(1), node.output
    if slope.array.size not in {1, x.dims[-1]}:
        raise Unsupported(f"slopes of shape {list(slope.dims)} for {x.dims[-1]} channels (the last axis)")
    slopes = slope.array.reshape(-1) if slope.array.size > 1 else slope.array.reshape(())
    vector = x.integers.bits in node.chip.prelu
    rounding = str(node.chip.rounding) if vector else "floor"
    shifts = {
        "shift": out.exponent - x.exponent if vector else 0,
        "slope_shift": out.exponent - x.exponent - slope.exponent,
    }
    return node.layer("prelu", x, slope=slopes, axis=len(x.dims) - 1, rounding=rounding, **shifts, **node.limits())


def insert_zeros(node: Node) -> Layer:
    """Zeros between the pixels of a map."""
    x = node.input(0)
    size = x.dims[1:-1]
    strides = node.attributes["stride"]
    extra = node.attributes.get("output_padding", (0,) * len(size))
    indices = []
    for count, step, more in zip(size, strides, extra, strict=True):
        spread = [count] * ((count - 1) * step + 1 + more)
        spread[: (count - 1) * step + 1 : step] = range(count)
        indices.append(spread)
    return node.layer("InsertZeros", x, indices=indices)


PRODUCTS: dict[str, Callable[[Node], Layer]] = {
    "Conv": conv,
    "Gemm": gemm,
    "MatMul": matmul,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "MaxPool": max_pool,
    "PRelu": prelu,
    "InsertZeros": insert_zeros,
}
