"""Patterns: how to find a chip's layer in a float graph, what the chip asks of it, and what it computes in integers.

``Pattern.pattern`` draws the layer with a builder: ``op.Relu(op.Conv(x, weight, bias))``. Its parameters are the layer's
operands; a starred one takes any number, left-out ones (None) too. A tuple of drawings are alternatives, tried in order.
Operands of commutative operators match in either order, and a drawing matches only where nobody else reads its inner values.
"""

from __future__ import annotations

import enum
import inspect
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from quaint import graph

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

    from quaint.arithmetic import Kernel
    from quaint.config import Config
    from quaint.integer import Layer
    from quaint.lower import Lowering
    from quaint.numerics import QuantSpec
    from quaint.scales import Range
    from quaint.target import Target

#: Operators that rearrange a tensor and compute nothing.
MOVES = frozenset({"Flatten", "Reshape", "Transpose"})
COMMUTATIVE = frozenset({"Add", "Mul", "Max", "Min", "Sum"})


@dataclass(frozen=True)
class Operand:
    """A value outside the drawing."""

    name: str
    starred: bool = False


@dataclass(frozen=True)
class Operator:
    """A node of the drawing: any of ``types`` on ``inputs``."""

    types: tuple[str, ...]
    inputs: tuple[Operand | Operator, ...]


class Builder:
    """``op.Conv(x, w)`` draws a Conv; ``op.one_of("Relu", "Clip")(x)`` one of several operators."""

    def __getattr__(self, op_type: str) -> Any:
        if op_type.startswith("_"):
            raise AttributeError(op_type)
        return self.one_of(op_type)

    def one_of(self, *op_types: str) -> Any:
        """A drawing of any of these operators."""

        def draw(*inputs: Operand | Operator) -> Operator:
            return Operator(op_types, inputs)

        return draw


class Sharing(enum.Enum):
    """Which tensors of a layer must have the same quantization."""

    NONE = "none"
    OUTPUT_AS_INPUT = "output as input"
    INPUTS_AS_OUTPUT = "inputs as output"


@dataclass(frozen=True, eq=False)
class Block:
    """Float nodes that the chip runs as one layer.

    Args:
        pattern: the pattern that found them.
        nodes: in order of execution; the first gives the block its name.
        bindings: what each operand of the pattern is bound to: a value, a tuple of values for a starred one.
        inputs: names of the tensors that enter, constants left out.
        outputs: names of the tensors that leave.
    """

    pattern: Pattern
    nodes: tuple[ir.Node, ...]
    bindings: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of its first node: what users call the layer."""
        return self.nodes[0].name or ""

    @property
    def node_names(self) -> tuple[str, ...]:
        """Names of its nodes."""
        return tuple(node.name or "" for node in self.nodes)

    @property
    def only_moves(self) -> bool:
        """Whether its nodes rearrange a tensor and compute nothing."""
        return all(node.op_type in MOVES for node in self.nodes)

    def node(self, *op_types: str) -> ir.Node | None:
        """Its first node of one of these operators."""
        return next((node for node in self.nodes if node.op_type in op_types), None)

    def constant(self, operand: str) -> NDArray[np.float64]:
        """The constant bound to an operand, as float64.

        Raises:
            ValueError: if it is not a constant.
        """
        value = graph.constant(self.bindings[operand])
        if value is None:
            raise ValueError(f"{operand} of {self.name} is not a constant")
        return value.astype("float64")


@dataclass
class CheckContext:
    """What a pattern's ``check`` may ask.

    Args:
        target: the chip.
        config: the wishes.
        claimed: nodes further down that have a layer.
        reasons: why a layer is refused.
        excesses: limits of the hardware that a layer exceeds where the wishes may go beyond it.
    """

    target: Target
    config: Config
    claimed: Collection[ir.Node] = ()
    reasons: list[str] = field(default_factory=list)
    excesses: list[str] = field(default_factory=list)

    def option(self, name: str) -> Any:
        """The value of one of the target's options."""
        return self.target.option(self.config, name)

    def fail(self, reason: str) -> bool:
        """Refuse, with a reason that users read; returns False."""
        self.reasons.append(reason)
        return False

    def exceed(self, reason: str) -> bool:
        """Refuse for a limit that the hardware has and the arithmetic has not; True, and noted, where that is wished for."""
        if not self.config.beyond_hardware:
            return self.fail(reason)
        self.excesses.append(reason)
        return True


class Pattern:
    """A layer of a chip: subclass, draw it, check it, lower it."""

    sharing: ClassVar[Sharing] = Sharing.NONE
    #: The output's range is all that the input needs: what the layer cuts off may saturate before it.
    cuts_off: ClassVar[bool] = False
    #: It only brings what enters into another form: the layers after it are the first.
    entrance: ClassVar[bool] = False
    #: Kernels that its layers need and the target lacks, by name: for patterns from elsewhere.
    kernels: ClassVar[Mapping[str, Kernel]] = {}

    def pattern(self, op: Builder, *args: Any, **kwargs: Any) -> Operator | tuple[Operator, ...]:
        """Draw the layer; the parameters after ``op`` are its operands."""
        raise NotImplementedError(f"{type(self).__name__} draws nothing")

    def check(self, context: CheckContext, *_: Any, **bindings: Any) -> bool:
        """Whether the chip can run it; ``context.fail(reason)`` where not. ``bindings`` are the operands and ``block``.

        False without a reason says that another pattern is meant, whose reason then counts.
        """
        return True

    def output_spec(self, spec: QuantSpec, block: Block, context: CheckContext) -> QuantSpec | None:
        """How the output shall be quantized; None where ``lower`` derives it (a raw accumulator)."""
        return spec

    def input_spec(self, spec: QuantSpec, block: Block, index: int, context: CheckContext) -> QuantSpec:
        """What this layer asks of its input ``index``, given what was chosen so far."""
        return spec

    def inner_specs(self, spec: QuantSpec, block: Block) -> Mapping[str, QuantSpec]:
        """Tensors between the block's nodes whose ranges ``lower`` wants, and how; ``spec`` is the target's for this block."""
        return {}

    def derives(self, block: Block, name: str) -> bool:
        """Whether ``lower`` itself states how the output ``name`` is quantized; ``output_spec`` is not asked then."""
        return False

    def reach(self, block: Block, ranges: Mapping[str, Range]) -> Range | None:
        """What the output's scale must hold besides the output itself: operands that are brought to that scale."""
        return None

    def lower(self, block: Block, context: Lowering) -> Layer | Sequence[Layer]:
        """The integer layer or layers."""
        raise NotImplementedError(f"{type(self).__name__} lowers nothing")

    def matches(self, root: ir.Node) -> Iterator[Block]:
        """Blocks that end in ``root``, one for each alternative that fits."""
        operands = [
            Operand(name, parameter.kind is inspect.Parameter.VAR_POSITIONAL)
            for name, parameter in inspect.signature(self.pattern).parameters.items()
            if name != "op"
        ]
        drawn = self.pattern(Builder(), *operands)
        for drawing in drawn if isinstance(drawn, tuple) else (drawn,):
            match = next((found for found in _match(drawing, root, _Match({}, ())) if found.closed), None)
            if match is not None:
                yield self._block(match, [operand.name for operand in operands])

    def _block(self, match: _Match, operands: Sequence[str]) -> Block:
        nodes = tuple(dict.fromkeys(match.nodes))
        bound = {name: match.bindings[name] for name in operands if name in match.bindings}
        values = [v for value in bound.values() for v in (value if isinstance(value, tuple) else (value,))]
        inputs = tuple(value.name for value in values if value is not None and graph.constant(value) is None)
        outputs = tuple(value.name or "" for value in nodes[-1].outputs)
        return Block(self, nodes, bound, inputs, outputs)


@dataclass(frozen=True)
class _Match:
    """A partial match; nodes in order of execution."""

    bindings: Mapping[str, Any]
    nodes: tuple[ir.Node, ...]

    @property
    def closed(self) -> bool:
        """Whether nobody else reads what is inside."""
        users = {user for node in self.nodes[:-1] for value in node.outputs for user, _ in value.uses()}
        return users <= set(self.nodes)


def _match(drawing: Operator, node: ir.Node, so_far: _Match) -> Iterator[_Match]:
    """Every way in which ``drawing`` fits what ends in ``node``."""
    if node.op_type not in drawing.types or node.domain not in {"", "ai.onnx"}:
        return
    values = list(node.inputs)
    while values and values[-1] is None:
        values.pop()
    orders = [values]
    if len(values) == 2 and node.op_type in COMMUTATIVE:
        orders.append(values[::-1])
    for order in orders:
        for match in _match_inputs(drawing.inputs, order, so_far):
            yield _Match(match.bindings, (*match.nodes, node))


def _match_inputs(drawings: Sequence[Operand | Operator], values: list[Any], so_far: _Match) -> Iterator[_Match]:
    if drawings and isinstance(drawings[0], Operand) and drawings[0].starred:
        yield _Match({**so_far.bindings, drawings[0].name: tuple(values)}, so_far.nodes)
        return
    if not drawings or not values:
        if not drawings and not values:
            yield so_far
        return
    for match in _match_value(drawings[0], values[0], so_far):
        yield from _match_inputs(drawings[1:], values[1:], match)


def _match_value(drawing: Operand | Operator, value: Any, so_far: _Match) -> Iterator[_Match]:
    if value is None:
        return
    if isinstance(drawing, Operand):
        if so_far.bindings.get(drawing.name, value) is value:
            yield _Match({**so_far.bindings, drawing.name: value}, so_far.nodes)
        return
    producer = value.producer()
    if producer is not None and not value.is_graph_output():
        yield from _match(drawing, producer, so_far)


class _Module(ModuleType):
    """This module, which is also the context ``quaint.patterns(target, *classes)``."""

    def __call__(self, target: str | Target, *classes: type[Pattern]) -> AbstractContextManager[None]:
        from quaint.scope import patterns

        return patterns(target, *classes)


sys.modules[__name__].__class__ = _Module
