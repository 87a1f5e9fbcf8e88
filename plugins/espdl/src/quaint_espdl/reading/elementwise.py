"""Nodes that compute element by element as layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.simulators.exact import Exact
from quaint_espdl.file.elements import DataType
from quaint_espdl.kernels.floats import BINARY, quantized
from quaint_espdl.kernels.functions import FUNCTIONS
from quaint_espdl.kernels.integers import RELATIONS
from quaint_espdl.reading.products import prelu
from quaint_espdl.reading.view import Edge, Node, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from quaint.integer import Layer


def _operands(node: Node) -> tuple[tuple[Edge, ...], dict[str, Any]]:
    """The variables, and the options that say of a constant what it is and on which side."""
    if len(node.inputs) != 2:
        raise Unsupported(f"{len(node.inputs)} operands")
    x, y = node.input(0), node.input(1)
    if x.tensor is not None and y.tensor is not None:
        raise Unsupported("both operands are constant")
    try:
        fits = np.broadcast_shapes(x.dims, y.dims, node.output.dims) == node.output.dims
    except ValueError:
        fits = False
    if not fits:
        raise Unsupported(f"shapes {list(x.dims)} and {list(y.dims)} do not broadcast to {list(node.output.dims)}")
    if y.tensor is not None:
        return (x,), {"constant": y.array}
    if x.tensor is not None:
        return (y,), {"constant": x.array, "from_constant": True}
    return (x, y), {}


def _commutative(node: Node) -> tuple[tuple[Edge, ...], dict[str, Any]]:
    variables, options = _operands(node)
    options.pop("from_constant", None)
    return variables, options


def _binary_real(node: Node) -> Layer:
    variables, options = _operands(node)
    if not all(edge.is_real for edge in (*variables, node.output)):
        raise Unsupported("floats and integers mixed")
    return node.layer("Binary", *variables, function=node.op_type, **options)


def add(node: Node) -> Layer:
    """Raw integers added."""
    variables, options = _commutative(node)
    return node.layer("Add", *variables, **options, **node.limits())


def subtract(node: Node) -> Layer:
    """Raw integers subtracted."""
    variables, options = _operands(node)
    return node.layer("Sub", *variables, **options, **node.limits())


def multiply(node: Node) -> Layer:
    """Product, shifted; in 16 bits through float32, which may not hold it."""
    variables, options = _commutative(node)
    exponent = node.input(0).exponent + node.input(1).exponent
    stage = node.stage(exponent)
    if node.output.integers.bits > 8:
        shift = int(stage.pop("shift"))
        stage["multiplier"] = np.asarray(2.0**-shift, np.float32)
    return node.layer("Mul", *variables, **options, **stage)


def divide(node: Node) -> Layer:
    """Quotient in float32; by one 8-bit number the runtime multiplies with its inverse."""
    variables, options = _operands(node)
    inverse = math.prod(node.input(1).dims) == 1 and node.output.integers.bits == 8
    exponent = node.input(0).exponent - node.input(1).exponent - node.output.exponent
    stage = {key: value for key, value in node.float_stage().items() if key != "out_scale"}
    return node.layer("Div", *variables, factor=2.0**exponent, inverse=inverse, **options, **stage)


def in_reals(node: Node) -> Layer:
    """Remainder or power of reals, rounded."""
    variables, options = _operands(node)
    scales = {"scale": node.input(0).scale, "scale_y": node.input(1).scale}
    narrow = all(edge.dtype is DataType.INT8 for edge in (node.input(0), node.input(1)))
    op = "RealPow" if node.op_type == "Pow" and not narrow else node.op_type
    return node.layer(op, *variables, **scales, **options, **node.float_stage())


def compare(node: Node) -> Layer:
    """Raw integers compared."""
    variables, options = _operands(node)
    if any(edge.is_real for edge in variables):
        raise Unsupported("a comparison of floats")
    exchanged = bool(options.pop("from_constant", False))
    return node.layer("Compare", *variables, relation=RELATIONS[node.op_type][exchanged], **options)


def extreme(node: Node) -> Layer:
    """Raw integers: the larger or smaller."""
    variables, options = _commutative(node)
    return node.layer("Extreme", *variables, largest=node.op_type == "Max", **options, **node.limits())


def unary(node: Node) -> Layer:
    """A table: the file's, or made of the runtime's float function of every integer."""
    x, table = node.input(0), node.table()
    if table is not None:
        return _lookup(node, table)
    if node.op_type not in FUNCTIONS:
        raise Unsupported("without a table")
    if x.is_real:
        if not node.output.is_real:
            raise Unsupported("floats that become integers without a QuantizeLinear")
        return node.layer("Unary", x, function=node.op_type, attributes=_plain(node))
    kind = x.integers
    values = np.arange(kind.low, kind.high + 1, dtype=np.float32) * np.float32(x.scale)
    exact = Exact()
    made = FUNCTIONS[node.op_type](exact, values, node.attributes)
    return _lookup(node, quantized(exact, made, **node.float_stage()).astype(node.output.integers.storage))


def _plain(node: Node) -> dict[str, Any]:
    return {key: value for key, value in node.attributes.items() if isinstance(value, int | float)}


def _lookup(node: Node, table: Any) -> Layer:
    x = node.input(0)
    kind = x.integers
    if len(table) == kind.high - kind.low + 1:
        low, high = int(table.min()), int(table.max())
        if np.array_equal(table, np.arange(kind.low, kind.high + 1).clip(low, high)):
            return node.layer("clip", x, low=low, high=high)  # the same integers, and faster: ReLU, ReLU6
        return node.layer("lookup", x, table=table, low=kind.low)
    bits = 16 - int(np.log2(max(len(table) - 1, 1)))
    if kind.bits != 16 or len(table) != (1 << (16 - bits)) + 1:
        raise Unsupported(f"a table of {len(table)} entries for {kind}")
    return node.layer("WideLookup", x, table=table, bits=bits, rounding=str(node.chip.rounding))


def relu(node: Node) -> Layer:
    """Table, or what is not negative in the output's scale."""
    x = node.input(0)
    if node.table() is not None or x.is_real:
        return unary(node)
    return node.layer("requantize", x, **(node.stage(x.exponent) | {"low": 0}))


def clip(node: Node) -> Layer:
    """Table, or limits in the input's scale and a shift."""
    x = node.input(0)
    if node.table() is not None:
        return unary(node)
    limits = [node.optional(index) for index in (1, 2)]
    bounds = [None if edge is None else edge.array.ravel()[0].item() for edge in limits]
    if x.is_real:
        given = {key: value for key, value in zip(("min", "max"), bounds, strict=True) if value is not None}
        return node.layer("Unary", x, function="Clip", attributes=given)
    kind = x.integers
    least, most = (
        default if bound is None else bound for bound, default in zip(bounds, (kind.low, kind.high), strict=True)
    )
    return node.layer("Clip", x, least=least, most=most, **node.stage(x.exponent))


def prelu_or_table(node: Node) -> Layer:
    """One slope for all comes as a table."""
    return prelu(node) if node.table() is None else unary(node)


def requantize(node: Node) -> Layer:
    """From one exponent to another."""
    x = node.input(0)
    return node.layer("requantize", x, **node.stage(x.exponent))


def quantize(node: Node) -> Layer:
    """Floats to integers."""
    constants = {"factor": np.asarray(1 / node.output.scale, np.float32), "zero_point": np.zeros((), np.int64)}
    return node.layer("QuantizeLinear", node.input(0), **constants, rounding=str(node.chip.rounding), **node.limits())


def dequantize(node: Node) -> Layer:
    """Integers to floats."""
    x = node.input(0)
    x.integers  # noqa: B018 - refuses floats
    return node.layer("DequantizeLinear", x, scale=np.asarray(x.scale, np.float32), zero_point=np.zeros((), np.int64))


_WITH_REALS: dict[str, Callable[[Node], Layer]] = {
    "Add": add,
    "Sub": subtract,
    "Mul": multiply,
    "Div": divide,
    "Max": extreme,
    "Min": extreme,
}
_TABLES = (
    *("Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "HardSwish", "Elu", "Exp", "Log", "Sqrt", "Neg", "Swish"),
    *("Gelu", "Erf", "Softplus", "Abs", "Cos", "Sin", "Tan", "Floor", "Round", "Ceil", "LUT"),
)


def _by_type(kernel: Callable[[Node], Layer]) -> Callable[[Node], Layer]:
    """On floats, the operation of that name on floats."""
    return lambda node: (_binary_real if node.output.is_real else kernel)(node)


ELEMENTWISE: dict[str, Callable[[Node], Layer]] = {
    **{name: _by_type(kernel) for name, kernel in _WITH_REALS.items() if name in BINARY},
    **dict.fromkeys(_TABLES, unary),
    **dict.fromkeys(RELATIONS, compare),
    "Mod": in_reals,
    "Pow": in_reals,
    "Relu": relu,
    "Clip": clip,
    "PRelu": prelu_or_table,
    "RequantizeLinear": requantize,
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
}
