"""What tests of simulators share: models of one layer, of every kernel and many shapes, and integers to run them on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from quaint.integer import IntegerModel, Layer
from quaint.layers.kernels import KERNELS
from quaint.numerics import IntType, QuantParams, Rounding
from quaint.simulators.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from quaint.arithmetic import Kernel

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int | None, ...]
Draw = st.DrawFn

INT8, INT16, INT32 = (IntType(bits, signed=True) for bits in (8, 16, 32))
WIDTHS = st.sampled_from(
    [(8, True)] * 3 + [(8, False), (4, True), (4, False), (16, True), (16, False), (24, True), (32, True)]
)
DTYPES = st.builds(lambda width: IntType(*width), WIDTHS)


def layer_model(
    op: str,
    inputs: Sequence[tuple[IntType | None, Shape]],
    output: IntType | None,
    shape: Shape,
    constants: Mapping[str, Array] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> IntegerModel:
    """One layer from ``x0``, ``x1``, ... to ``y``; a type of None is a real tensor."""
    names = tuple(f"x{i}" for i in range(len(inputs)))
    edges = [*zip(names, inputs, strict=True), ("y", (output, shape))]
    tensors = {name: QuantParams(np.asarray(1.0), dtype) for name, (dtype, _) in edges if dtype}
    layer = Layer(op, names, ("y",), constants or {}, attributes or {}, "layer", ("node",))
    return IntegerModel("one", names, ("y",), (layer,), tensors, {name: edge[1] for name, edge in edges}, "quaint.test")


def numbers(rng: np.random.Generator, dtype: IntType, shape: Shape) -> Array:
    """Integers: of all sizes, of the extremes only, or most of them small."""
    sizes = [2 if size is None else size for size in shape]
    match rng.integers(3):
        case 0:
            values = rng.integers(dtype.low, dtype.high, sizes, endpoint=True)
        case 1:
            values = rng.choice([dtype.low, dtype.high], sizes)
        case _:
            values = np.clip(rng.normal(0, max(dtype.high / 8, 1), sizes), dtype.low, dtype.high)
    return np.asarray(values).astype(dtype.storage)


def feeds_for(model: IntegerModel, seed: int) -> dict[str, Array]:
    """Integers for the inputs of a model, two samples."""
    rng = np.random.default_rng(seed)
    return {name: numbers(rng, model.tensors[name].dtype, model.shapes[name]) for name in model.inputs}


def truth(
    model: IntegerModel, feeds: Mapping[str, Array], kernels: Mapping[str, Kernel] = KERNELS
) -> dict[str, Array] | None:
    """What the reference gives; None if the layer's numbers pass 64 bits, which the reference refuses."""
    try:
        return Reference(model, kernels).run(feeds)
    except OverflowError:
        return None


def random_weight(draw: Draw, shape: Shape) -> Array:
    """Weights of some width."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    return numbers(
        rng, draw(st.sampled_from([INT8, INT8, IntType(4, signed=True), INT16, IntType(8, signed=False)])), shape
    )


def requantization(
    draw: Draw, largest: float, channels: int, output: IntType
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Constants and attributes of ``requantize`` that bring an accumulator up to ``largest`` near the output's range."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    size = (channels,) if draw(st.booleans()) else ()
    attributes: dict[str, Any] = {
        "low": draw(st.sampled_from([output.low, 0])),
        "high": draw(st.sampled_from([output.high, max(output.high * 3 // 4, 1)])),
        "rounding": str(draw(st.sampled_from(Rounding))),
        "zero_point": draw(st.sampled_from([0, 0, -3, 7])),
    }
    needed = max(int(np.log2(largest + 1)) - output.bits + 1, 0)
    match draw(st.sampled_from(["shift", "shift", "integer", "float"])):
        case "shift":
            least = draw(st.sampled_from([0, 0, -2]))
            return {"shift": np.clip(needed + rng.integers(-3, 4, size), least, 70)}, attributes
        case "integer":
            bits = draw(st.integers(1, 31))
            return {"multiplier": rng.integers(1, 1 << bits, size), "shift": np.asarray(needed + bits - 1)}, attributes
        case _:
            factor = rng.uniform(0.5, 1.5, size) * output.high / max(largest, 1)
            return {"multiplier": np.asarray(factor, np.float32)}, attributes


def magnitude(dtype: IntType) -> int:
    return max(dtype.high, -dtype.low)


@st.composite
def convolutions(draw: Draw) -> IntegerModel:
    """``conv`` and ``conv_transpose``."""
    rank = draw(st.sampled_from([2, 2, 2, 1, 3]))
    group = draw(st.sampled_from([1, 1, 2, 4]))
    channels, maps = (group * draw(st.sampled_from([1, 2, 4, 8])) for _ in range(2))
    kernel, dilations = (draw(st.tuples(*[st.integers(1, top)] * rank)) for top in (3, 2))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    size = [draw(st.integers(e, e + 4)) for e in extents]
    strides = draw(st.tuples(*[st.integers(1, 2)] * rank))
    pads = draw(st.tuples(*[st.integers(0, 1)] * (2 * rank)))
    window = {"strides": [*strides], "pads": [*pads], "dilations": [*dilations], "group": group}
    dtype, output = draw(DTYPES), draw(DTYPES)
    transposed = rank == 2 and draw(st.integers(0, 3)) == 0
    if transposed:
        beyond = [draw(st.integers(0, s - 1)) for s in strides]
        window["output_padding"] = beyond
        weight = random_weight(draw, (channels, maps // group, *kernel))
        ends = zip(size, strides, extents, beyond, pads[:rank], pads[rank:], strict=True)
        made = [(n - 1) * s + e + more - begin - end for n, s, e, more, begin, end in ends]
        assume(min(made) > 0)
    else:
        weight = random_weight(draw, (maps, channels // group, *kernel))
        ends = zip(size, extents, strides, pads[:rank], pads[rank:], strict=True)
        made = [(n + begin + end - e) // s + 1 for n, e, s, begin, end in ends]
    largest = magnitude(dtype) * float(np.abs(weight.astype(np.int64)).sum())
    constants, attributes = requantization(draw, largest, maps, output)
    bias = np.random.default_rng(maps).integers(-5000, 5000, maps)
    attributes |= window | {"input_zero_point": draw(st.sampled_from([0, 0, 3]))}
    constants |= {"weight": weight, "bias": bias}
    op = "conv_transpose" if transposed else "conv"
    return layer_model(op, [(dtype, (None, channels, *size))], output, (None, maps, *made), constants, attributes)


@st.composite
def gemms(draw: Draw) -> IntegerModel:
    """``gemm`` of matrices and of stacks of them."""
    terms, columns = draw(st.integers(1, 150)), draw(st.integers(1, 8))
    dtype, output = draw(DTYPES), draw(DTYPES)
    weight = random_weight(draw, (terms, columns))
    largest = magnitude(dtype) * float(np.abs(weight.astype(np.int64)).sum())
    constants, attributes = requantization(draw, largest, columns, output)
    constants |= {"weight": weight, "bias": np.arange(columns) * 100}
    leading = draw(st.sampled_from([(None,), (None, 3)]))
    return layer_model("gemm", [(dtype, (*leading, terms))], output, (*leading, columns), constants, attributes)


@st.composite
def elementwise(draw: Draw) -> IntegerModel:
    """``add``, ``multiply`` and ``requantize``."""
    channels = draw(st.sampled_from([3, 4, 8]))
    shape = (None, channels, 3, 3)
    op = draw(st.sampled_from(["add", "multiply", "requantize"]))
    dtypes = [draw(DTYPES) for _ in range(1 if op == "requantize" else 2)]
    sizes = [magnitude(dtype) for dtype in dtypes]
    output = draw(DTYPES)
    constants, attributes = requantization(
        draw, sizes[0] * sizes[1] if op == "multiply" else sum(sizes), channels, output
    )
    if op == "add":
        attributes |= {
            "x_multiplier": draw(st.sampled_from([1, 4, 77])),
            "y_multiplier": draw(st.sampled_from([1, 16])),
        }
    if op != "requantize":
        attributes |= {"x_zero_point": draw(st.sampled_from([0, -4]))}
    shapes = [shape, draw(st.sampled_from([shape, (None, channels, 1, 1)]))]
    return layer_model(op, [*zip(dtypes, shapes, strict=False)], output, shape, constants, attributes)


@st.composite
def pools(draw: Draw) -> IntegerModel:
    """``max_pool``, ``average_pool`` and ``global_average_pool``."""
    op = draw(st.sampled_from(["max_pool", "average_pool", "global_average_pool"]))
    dtype, channels = draw(DTYPES), draw(st.sampled_from([3, 4]))
    kernel, strides = draw(st.tuples(*[st.integers(1, 3)] * 2)), draw(st.tuples(*[st.integers(1, 3)] * 2))
    size = [draw(st.integers(k, 8)) for k in kernel]
    pads = [draw(st.integers(0, min(k - 1, 1))) for k in (*kernel, *kernel)]
    ceil_mode = draw(st.booleans())
    window = {"kernel_shape": [*kernel], "strides": [*strides], "pads": pads, "ceil_mode": ceil_mode}
    made = []
    for n, k, s, begin, end in zip(size, kernel, strides, pads[:2], pads[2:], strict=True):
        steps = (n + begin + end - k + (s - 1 if ceil_mode else 0)) // s + 1
        made.append(steps - (ceil_mode and (steps - 1) * s >= n + begin))
    inputs = [(dtype, (None, channels, *size))]
    if op == "max_pool":
        return layer_model(op, inputs, dtype, (None, channels, *made), attributes=window | {"dilations": [1, 1]})
    output = draw(DTYPES)
    constants, attributes = requantization(draw, magnitude(dtype) * float(np.prod(kernel)), channels, output)
    if op == "average_pool":
        return layer_model(op, inputs, output, (None, channels, *made), constants, attributes | window)
    return layer_model(op, inputs, output, (None, channels, 1, 1), constants, attributes)


@st.composite
def others(draw: Draw) -> IntegerModel:
    """Kernels that move, clip or look up integers, and ``dequantizer``."""
    dtype, shape = draw(DTYPES), (None, 4, 3, 5)
    one = [(dtype, shape)]
    match draw(st.sampled_from(["clip", "lookup", "concat", "reshape", "transpose", "dequantizer"])):
        case "clip":
            return layer_model("clip", one, dtype, shape, attributes={"low": dtype.low // 2, "high": dtype.high // 3})
        case "lookup":
            dtype = draw(st.sampled_from([INT8, IntType(4, signed=False), IntType(8, signed=False)]))
            table = numbers(np.random.default_rng(draw(st.integers(0, 99))), draw(DTYPES), (1 << dtype.bits,))
            output = IntType(8 * table.dtype.itemsize, signed=table.dtype.kind == "i")
            return layer_model("lookup", [(dtype, shape)], output, shape, {"table": table}, {"low": dtype.low})
        case "concat":
            both = [*one, (draw(DTYPES), (None, 2, 3, 5))]
            return layer_model("concat", both, IntType(40, signed=True), (None, 6, 3, 5), attributes={"axis": 1})
        case "reshape":
            target, made = draw(
                st.sampled_from([([0, -1], (None, 60)), ([-1, 60], (None, 60)), ([0, 0, 15], (None, 4, 15))])
            )
            return layer_model("reshape", one, dtype, made, attributes={"shape": target})
        case "transpose":
            return layer_model("transpose", one, dtype, (None, 3, 5, 4), attributes={"perm": [0, 2, 3, 1]})
        case _:
            scale = [0.1, 3, 1e-30, 7e20] if draw(st.booleans()) else 0.3
            constants = {"scale": np.asarray(scale, np.float32), "zero_point": np.asarray(draw(st.integers(-9, 9)))}
            return layer_model("dequantizer", one, None, shape, constants)


FAMILIES = {family.__name__: family for family in (convolutions, gemms, elementwise, pools, others)}


@st.composite
def quantizers(draw: Draw) -> tuple[IntegerModel, dict[str, Array]]:
    """``input_quantizer`` with reals: many ties, some that are not numbers, infinite, or vanish."""
    output, rng = draw(DTYPES), np.random.default_rng(draw(st.integers(0, 1 << 20)))
    factor = 2.0 ** rng.integers(-4, 5, 3) if draw(st.booleans()) else rng.uniform(0.1, 100, ())
    constants = {"factor": np.asarray(factor, np.float32), "zero_point": np.asarray(draw(st.integers(-3, 3)))}
    attributes = {"low": output.low, "high": output.high, "rounding": str(draw(st.sampled_from(Rounding)))}
    shape = (None, 3, 4, 4)
    model = layer_model(
        "input_quantizer", [(None, shape)], output, shape, constants, attributes | {"divide": draw(st.booleans())}
    )
    x = rng.normal(0, output.high / 10, (2, 3, 4, 4))
    x = (np.round(x * 2) / 2 if draw(st.booleans()) else x).astype(np.float32)
    x.ravel()[:8] = [np.nan, np.inf, -np.inf, 0.49999997, -0.5, 1e-40, -1e-40, 3e38]
    return model, {"x0": x}
