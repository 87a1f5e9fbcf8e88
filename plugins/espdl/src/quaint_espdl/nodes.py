"""Integer layers as nodes of the runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.layers.kernels import window_steps
from quaint_espdl.layout import WeightKind, weights_tensor
from quaint_espdl.writer import channel_last, original

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.integer import Layer
    from quaint_espdl.writer import GraphWriter, Layout

#: Operators of one input that the runtime knows by name and runs from a table.
TABLES = frozenset({"Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "Gelu", "Exp", "Neg", "Swish"})


def conv(writer: GraphWriter, layer: Layer) -> None:
    """Plain or depthwise convolution; borders, strides and dilations are always written."""
    rank = len(writer.shape(layer.inputs[0]))
    source = writer.take(layer.inputs[0], channel_last(rank))
    given = {name: tuple(layer.attributes[name]) for name in ("strides", "pads", "dilations")}
    _convolution(writer, layer, source, layer.constants["weight"], layer.attributes["group"], given)


def conv_transpose(writer: GraphWriter, layer: Layer) -> None:
    """Zeros between the pixels, then a convolution with the weights turned round and the borders that are left."""
    tensor, wish = layer.inputs[0], layer.attributes
    shape = writer.shape(tensor)
    source = writer.take(tensor, channel_last(len(shape)))
    strides, extra = wish["strides"], wish["output_padding"]
    if any(step != 1 for step in strides) or any(extra):
        size = [(n - 1) * step + 1 + more for n, step, more in zip(shape[2:], strides, extra, strict=True)]
        spread = writer.scratch(f"{source}_spread", (1, *size, shape[1]), tensor)
        attributes = {"stride": tuple(strides), "output_padding": tuple(extra)}
        writer.node(
            "InsertZeros", f"{layer.name}_InsertZeros", (source,), (spread,), writer.params(tensor), **attributes
        )
        source = spread
    weight = layer.constants["weight"]
    spatial = tuple(range(2, weight.ndim))
    reach = [step * (n - 1) for n, step in zip(weight.shape[2:], wish["dilations"], strict=True)]
    pads = tuple(n - pad for n, pad in zip((*reach, *reach), wish["pads"], strict=True))
    given = {"strides": (1,) * len(spatial), "pads": pads, "dilations": tuple(wish["dilations"])}
    _convolution(writer, layer, source, np.flip(weight, spatial).swapaxes(0, 1), 1, given)


def _convolution(
    writer: GraphWriter,
    layer: Layer,
    source: str,
    weight: NDArray[Any],
    group: int,
    given: Mapping[str, tuple[int, ...]],
) -> None:
    kind = WeightKind.CONV if group == 1 else WeightKind.DEPTHWISE
    inputs = (source, *_parameters(writer, layer, weight, kind))
    output = writer.declare(layer.outputs[0], channel_last(weight.ndim))
    attributes = {"group": group, "kernel_shape": weight.shape[2:], "activation": _activation(writer, layer)}
    writer.node("Conv", layer.name, inputs, (output,), writer.params(layer.outputs[0]), **attributes, **given)


def gemm(writer: GraphWriter, layer: Layer) -> None:
    """Dense layer over the last axis of a tensor of any rank."""
    rank = len(writer.shape(layer.inputs[0]))
    source = writer.take(layer.inputs[0], original(rank))
    inputs = (source, *_parameters(writer, layer, layer.constants["weight"].T, WeightKind.GEMM))
    output = writer.declare(layer.outputs[0], original(rank))
    attributes = {"alpha": 1.0, "beta": 1.0, "transB": 0, "activation": _activation(writer, layer)}
    writer.node("Gemm", layer.name, inputs, (output,), writer.params(layer.outputs[0]), **attributes)


def _parameters(writer: GraphWriter, layer: Layer, weight: NDArray[Any], kind: WeightKind) -> tuple[str, str]:
    """Weights and bias; their exponents follow from the shift of the accumulator."""
    bits = writer.params(layer.outputs[0]).dtype.bits
    entering, leaving = writer.exponent(layer.inputs[0]), writer.exponent(layer.outputs[0])
    exponents = np.atleast_1d(leaving - entering - layer.constants["shift"])
    name = writer.unique(f"{layer.name}.weight")
    integers = weight.astype(f"int{bits}")  # 8-bit weights of a 16-bit layer are stored in its width
    packed = weights_tensor(name, integers, kind, writer.alignment[bits], tuple(exponents.tolist()))
    writer.constants.append(packed)
    bias = layer.constants["bias"].astype(np.int32 if bits == 8 else np.int64)
    return name, writer.constant(f"{layer.name}.bias", bias, tuple((exponents + entering).tolist()))


def _activation(writer: GraphWriter, layer: Layer) -> str:
    low, dtype = layer.attributes["low"], writer.params(layer.outputs[0]).dtype
    return "Relu" if low == 0 and dtype.low != 0 else "Linear"


def max_pool(writer: GraphWriter, layer: Layer) -> None:
    """Max pooling; incomplete windows at the end become a wider border, which never wins."""
    _pool(writer, layer, "MaxPool", dilations=tuple(layer.attributes["dilations"]))


def average_pool(writer: GraphWriter, layer: Layer) -> None:
    """Average pooling; every window is divided by the kernel's whole area."""
    _pool(writer, layer, "AveragePool", count_include_pad=1)


def _pool(writer: GraphWriter, layer: Layer, op_type: str, **attributes: Any) -> None:
    source, output = _over_map(writer, layer)
    given = {name: tuple(layer.attributes[name]) for name in ("kernel_shape", "strides")}
    pads = tuple(layer.attributes["pads"])
    if layer.attributes["ceil_mode"]:
        pads = _whole_windows(writer.shape(layer.inputs[0])[2:], pads=pads, **given)
    attributes |= {**given, "pads": pads, "ceil_mode": 0}
    writer.node(op_type, layer.name, (source,), (output,), writer.params(layer.outputs[0]), **attributes)


def _whole_windows(
    size: Sequence[int], *, kernel_shape: Sequence[int], strides: Sequence[int], pads: Sequence[int]
) -> tuple[int, ...]:
    """The borders with which counting whole windows gives as many as counting incomplete ones too."""
    rank, ends = len(size), []
    for i, reach in enumerate(kernel_shape):
        steps = window_steps(size[i], reach, strides[i], pads[i], pads[rank + i], ceil_mode=True)
        ends.append(max(pads[rank + i], (steps - 1) * strides[i] + reach - size[i] - pads[i]))
    return (*pads[:rank], *ends)


def global_average_pool(writer: GraphWriter, layer: Layer) -> None:
    """Average over the map."""
    source, output = _over_map(writer, layer)
    writer.node("GlobalAveragePool", layer.name, (source,), (output,), writer.params(layer.outputs[0]))


def _over_map(writer: GraphWriter, layer: Layer) -> tuple[str, str]:
    """Names of input and output, channel last."""
    rank = len(writer.shape(layer.inputs[0]))
    source = writer.take(layer.inputs[0], channel_last(rank))
    return source, writer.declare(layer.outputs[0], channel_last(rank))


def add(writer: GraphWriter, layer: Layer) -> None:
    """Sum of two tensors of one exponent."""
    sources, output, _ = _together(writer, layer)
    writer.node("Add", layer.name, sources, (output,), writer.params(layer.outputs[0]))


def multiply(writer: GraphWriter, layer: Layer) -> None:
    """Product; the runtime finds the shift in the exponents."""
    sources, output, _ = _together(writer, layer)
    writer.node("Mul", layer.name, sources, (output,), writer.params(layer.outputs[0]))


def concat(writer: GraphWriter, layer: Layer) -> None:
    """Tensors joined along the axis as the layout has it."""
    sources, output, layout = _together(writer, layer)
    axis = layout.index(layer.attributes["axis"])
    writer.node("Concat", layer.name, sources, (output,), writer.params(layer.outputs[0]), axis=axis)


def _together(writer: GraphWriter, layer: Layer) -> tuple[list[str], str, Layout]:
    """Names of inputs and output in one layout: channel last if an input of the full rank is so already."""
    rank = len(writer.shape(layer.outputs[0]))
    same_rank = all(len(writer.shape(name)) == rank for name in layer.inputs)
    last = same_rank and any(writer.layout(name) == channel_last(rank) for name in layer.inputs)
    layout = channel_last(rank) if last else original(rank)
    sources = [writer.take(name, layout if same_rank else original(len(writer.shape(name)))) for name in layer.inputs]
    return sources, writer.declare(layer.outputs[0], layout), layout


def clip(writer: GraphWriter, layer: Layer) -> None:
    """ReLU; any other clip with its bounds and, at 8 bits, as a table too."""
    params = writer.params(layer.outputs[0])
    low, high = layer.attributes["low"], layer.attributes["high"]
    if (low, high) == (0, params.dtype.high):
        _elementwise(writer, layer, "Relu")
        return
    exponents = (writer.exponent(layer.inputs[0]),)
    limits = [
        writer.constant(f"{layer.name}.{name}", np.asarray(limit, params.dtype.storage), exponents)
        for name, limit in (("min", low), ("max", high))
    ]
    table = np.clip(np.arange(params.dtype.low, params.dtype.high + 1), low, high) if params.dtype.bits == 8 else None
    _elementwise(writer, layer, "Clip", limits, table)


def lookup(writer: GraphWriter, layer: Layer) -> None:
    """A function as a table of 256 integers, under the operator's own name where the runtime knows it."""
    drawn = [writer.operators[node] for node in layer.nodes if node in writer.operators]
    operator = "Swish" if "Mul" in drawn else drawn[0] if drawn else "LUT"
    known = operator in TABLES
    attributes = {} if known else {"original_op_type": operator}
    _elementwise(writer, layer, operator if known else "LUT", (), layer.constants["table"], **attributes)


def requantize(writer: GraphWriter, layer: Layer) -> None:
    """Another exponent or width; the runtime reads both from the tensors, the scale is for readers."""
    params = writer.params(layer.outputs[0])
    scale = writer.constant(f"{layer.name}.scale", params.scale.astype(np.float32))
    zero = writer.constant(f"{layer.name}.zero_point", np.zeros((), params.dtype.storage))
    _elementwise(writer, layer, "RequantizeLinear", (scale, zero))


def _elementwise(
    writer: GraphWriter,
    layer: Layer,
    op_type: str,
    more: Sequence[str] = (),
    table: NDArray[Any] | None = None,
    **attributes: Any,
) -> None:
    layout, params = writer.layout(layer.inputs[0]), writer.params(layer.outputs[0])
    source, output = writer.take(layer.inputs[0], layout), writer.declare(layer.outputs[0], layout)
    if table is not None:
        entries = table.astype(params.dtype.storage)
        exponents = (writer.exponent(layer.outputs[0]),)
        attributes["lut"] = writer.constant(f"{layer.name}.lut", entries, exponents, doc=False)
    writer.node(op_type, layer.name, (source, *more), (output,), params, **attributes)


def reshape(writer: GraphWriter, layer: Layer) -> None:
    """Reshape and Flatten; no Transpose before it where the original order is there anyway."""
    source, shape = writer.in_order(layer.inputs[0]), writer.shape(layer.outputs[0])
    output = writer.declare(layer.outputs[0], original(len(shape)))
    wanted = writer.constant(f"{layer.name}.shape", np.asarray(shape, np.int64))
    writer.node("Reshape", layer.name, (source, wanted), (output,), writer.params(layer.outputs[0]), allowzero=0)


def transpose(writer: GraphWriter, layer: Layer) -> None:
    """The model's own Transpose, one with what its input's layout needs."""
    layout, perm = writer.layout(layer.inputs[0]), layer.attributes["perm"]
    source = writer.take(layer.inputs[0], layout)
    output = writer.declare(layer.outputs[0], original(len(perm)))
    merged = tuple(layout.index(axis) for axis in perm)
    writer.node("Transpose", layer.name, (source,), (output,), writer.params(layer.outputs[0]), perm=merged)


#: Layer -> how it is written.
WRITERS: dict[str, Callable[[GraphWriter, Layer], None]] = {
    function.__name__: function
    for function in (
        conv,
        conv_transpose,
        gemm,
        max_pool,
        average_pool,
        global_average_pool,
        add,
        multiply,
        concat,
        clip,
        lookup,
        requantize,
        reshape,
        transpose,
    )
}
