"""Activations: clips in one form, spelled-out functions by name, next to the operator that feeds them."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from quaint.canonicalize.rule import each
from quaint.graph import (
    GraphEditor,
    attribute,
    constant,
    input_at,
    is_op,
    other_input,
    producer,
    rank,
    scalar,
    sole_consumer,
)

_LIMIT = float(np.finfo(np.float32).max)
_TOLERANCE = 1e-5


def _bounds(node: ir.Node | None) -> tuple[float, float] | None:
    """The constant bounds of a Relu or Clip on floats, ``(-_LIMIT, _LIMIT)`` where it has none."""
    if node is None or node.inputs[0] is None or node.inputs[0].dtype != ir.DataType.FLOAT:
        return None
    if is_op(node, "Relu"):
        return 0.0, _LIMIT
    if not is_op(node, "Clip"):
        return None
    low, high = input_at(node, 1), input_at(node, 2)
    bounds = (-_LIMIT if low is None else scalar(low), _LIMIT if high is None else scalar(high))
    if bounds[0] is None or bounds[1] is None or not bounds[0] <= bounds[1]:
        return None
    return max(bounds[0], -_LIMIT), min(bounds[1], _LIMIT)


def _set_bounds(editor: GraphEditor, node: ir.Node, source: ir.Value | None, low: float, high: float) -> None:
    """Let ``node`` become ``Relu(source)`` or ``Clip(source, low, high)``."""
    if (low, high) == (0.0, _LIMIT):
        editor.retype(node, "Relu", [source])
        return
    values = [
        editor.constant(np.array(bound, np.float32), f"{node.name}.{name}")
        for name, bound in (("min", low), ("max", high))
    ]
    editor.retype(node, "Clip", [source, *values])


@each("Clip", "Max", "Min")
def unify_clips(editor: GraphEditor, node: ir.Node) -> bool:
    """Turn clips, and ``Max`` and ``Min`` with a scalar constant, into ``Relu`` or ``Clip(x, min, max)``.

    Requires: opset 12 or later; ranks. Ensures: every float Clip with constant bounds has both as float32 scalars (a
    missing one is the largest float32) and is no Relu. Clips whose bounds cross are left alone.
    """
    if node.op_type == "Clip":
        bounds, source = _bounds(node), node.inputs[0]
        explicit = len(node.inputs) == 3 and all(rank(value) == 0 for value in node.inputs[1:])
        if bounds is None or (explicit and bounds != (0.0, _LIMIT)):
            return False
    else:
        pairs = [(value, other_input(node, value)) for value in node.inputs if value is not None]
        found = [(value, scalar(other), rank(other)) for value, other in pairs if scalar(other) is not None]
        if len(found) != 1 or found[0][0].dtype != ir.DataType.FLOAT:
            return False
        source, bound, bound_rank = found[0]
        if bound is None or not math.isfinite(bound) or (bound_rank or 0) > (rank(source) or 0):
            return False
        bounds = (bound, _LIMIT) if node.op_type == "Max" else (-_LIMIT, bound)
    _set_bounds(editor, node, source, *bounds)
    return True


@each("Relu", "Clip")
def merge_clips(editor: GraphEditor, node: ir.Node) -> bool:
    """Turn two Relu or Clip in a row into one.

    Requires: ``unify_clips``. Ensures: no Relu or Clip reads a Relu or Clip that it is the only reader of.
    """
    inner = producer(node.inputs[0], "Relu", "Clip")
    first, second = _bounds(inner), _bounds(node)
    if inner is None or first is None or second is None or sole_consumer(inner.outputs[0]) is not node:
        return False
    low, high = (min(max(bound, second[0]), second[1]) for bound in first)
    _set_bounds(editor, node, inner.inputs[0], low, high)
    return True


@each("Relu", "Clip")
def clip_before_pool(editor: GraphEditor, node: ir.Node) -> bool:
    """Move a Relu or Clip in front of the MaxPool that feeds it: both are monotone, so the order is free.

    Requires: ``unify_clips``. Ensures: an activation stands next to its producer. Not if others read in between.
    """
    changed = False
    while (moved := _move_before_pool(editor, node)) is not None:
        node, changed = moved, True
    return changed


def _move_before_pool(editor: GraphEditor, node: ir.Node) -> ir.Node | None:
    """Move ``node`` in front of one pool; the node that then stands there, or None if it has to stay."""
    pool = producer(node.inputs[0], "MaxPool")
    if pool is None or _bounds(node) is None or len(pool.outputs) > 1 or sole_consumer(pool.outputs[0]) is not node:
        return None
    source = pool.inputs[0]
    if source is None or sole_consumer(source) is not pool:
        return None
    return editor.move_before(node, pool)


@each("Mul", "Div")
def name_activations(editor: GraphEditor, node: ir.Node) -> bool:
    """Recognize activations that are spelled out, whatever the order of their factors.

    Ensures: ``HardSigmoid`` for clip(x + 3, 0, 6) / 6, ``HardSwish`` for its product with x, ``Gelu`` for
    x (1 + erf(x / sqrt 2)) / 2 and for its tanh form, ``Mish`` for x tanh(softplus(x)).
    """
    scale, factors = _factors(node)
    if any(rank(factor) != rank(node.outputs[0]) for factor in factors):
        return False
    if len(factors) == 1 and (source := _shifted_relu6(factors[0])) and _near(scale, 1 / 6):
        editor.retype(node, "HardSigmoid", [source], {"alpha": 1 / 6, "beta": 0.5})
        return True
    if len(factors) != 2:
        return False
    for x, gate in (factors, factors[::-1]):
        named = _gated(scale, x, gate)
        if named is not None:
            editor.retype(node, named[0], [x], named[1])
            return True
    return False


def _gated(scale: float, x: ir.Value, gate: ir.Value) -> tuple[str, dict[str, str]] | None:
    """The operator, with attributes, that is ``scale * x * gate``."""
    node = gate.producer()
    if is_op(node, "HardSigmoid") and node is not None and node.inputs[0] is x and _near(scale, 1):
        standard = _near(attribute(node, "alpha", 0.2), 1 / 6) and _near(attribute(node, "beta", 0.5), 0.5)
        return ("HardSwish", {}) if standard else None
    if _shifted_relu6(gate) is x and _near(scale, 1 / 6):
        return "HardSwish", {}
    if _near(scale, 0.5) and (inner := _plus(gate, 1)) is not None:
        return _gelu(x, inner)
    softplus = producer(node.inputs[0], "Softplus") if is_op(node, "Tanh") and node is not None else None
    return ("Mish", {}) if _near(scale, 1) and softplus is not None and softplus.inputs[0] is x else None


def _gelu(x: ir.Value, inner: ir.Value) -> tuple[str, dict[str, str]] | None:
    """Gelu by its error function or its tanh approximation (Hendrycks and Gimpel, arXiv:1606.08415)."""
    node = inner.producer()
    if node is None or not is_op(node, "Erf", "Tanh") or node.inputs[0] is None:
        return None
    scale, factors = _factors_of(node.inputs[0])
    if is_op(node, "Erf"):
        return ("Gelu", {"approximate": "none"}) if factors == [x] and _near(scale, math.sqrt(0.5)) else None
    if len(factors) != 1 or not _near(scale, math.sqrt(2 / math.pi)):
        return None
    total = producer(factors[0], "Add")
    cubic = None if total is None else other_input(total, x)
    if cubic is None:
        return None
    weight, parts = _factors_of(cubic)
    power = producer(parts[0], "Pow") if len(parts) == 1 else None
    cubed = parts == [x, x, x] or (power is not None and power.inputs[0] is x and scalar(power.inputs[1]) == 3)
    return ("Gelu", {"approximate": "tanh"}) if cubed and _near(weight, 0.044715) else None


def _near(number: float, expected: float) -> bool:
    return math.isclose(number, expected, rel_tol=_TOLERANCE)


def _plus(value: ir.Value, amount: float) -> ir.Value | None:
    """The x of ``value = x + amount``, or None."""
    node = producer(value, "Add")
    for x in () if node is None else node.inputs:
        other = None if x is None or node is None else other_input(node, x)
        if other is not None and constant(other) is not None and scalar(other) == amount:
            return x
    return None


def _shifted_relu6(value: ir.Value) -> ir.Value | None:
    """The x of ``value = clip(x + 3, 0, 6)``, or None."""
    node = producer(value, "Clip")
    return (
        _plus(node.inputs[0], 3)
        if node is not None and node.inputs[0] is not None and _bounds(node) == (0, 6)
        else None
    )


def _factors_of(value: ir.Value) -> tuple[float, list[ir.Value]]:
    node = producer(value, "Mul", "Div")
    return (1.0, [value]) if node is None else _factors(node)


def _factors(node: ir.Node) -> tuple[float, list[ir.Value]]:
    """Write a product as a number times tensors, looking through Mul, and Div by a number, that are read only here."""
    scale, seen = 1.0, 0
    factors, pending = list[ir.Value](), [node]
    while pending:
        product = pending.pop()
        seen += 1
        for index, value in enumerate(product.inputs):
            number = scalar(value)
            divides = product.op_type == "Div" and index == 1
            if number is not None and not (divides and number == 0):
                scale = scale / number if divides else scale * number
                continue
            if value is None or divides:
                return 1.0, []
            inner = producer(value, "Mul", "Div")
            if inner is not None and sole_consumer(value) is product and seen < 8:
                pending.append(inner)
            else:
                factors.append(value)
    return scale, factors
