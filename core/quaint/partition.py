"""Partition: which float nodes become which layers of the chip, what runs on the host, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from quaint.errors import QuaintError
from quaint.macs import macs
from quaint.patterns import Block, CheckContext, Pattern
from quaint.refusals import Excess, Missing, Refusal, refused
from quaint.suggest import did_you_mean
from quaint.target import ANY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import onnx_ir as ir

    from quaint.config import Config
    from quaint.target import Target


#: Share of a model's multiply-accumulates that broken limits may keep from the chip.
HOST_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Plan:
    """A canonical float model, divided.

    Args:
        model: the canonical model.
        target: the chip.
        config: the wishes.
        blocks: what the chip runs, in order of execution.
        head: float nodes on the host before the chip (``Config.from_node``).
        tail: float nodes on the host after the chip.
        refusals: what the chip does not run.
        typed_inputs: float tensor -> integer graph input that it is a mere cast of.
        rewritten: a line for each thing that the target's rewrites changed.
        excesses: what only the simulators run, where that is wished for.
    """

    model: ir.Model
    target: Target
    config: Config
    blocks: tuple[Block, ...]
    head: tuple[ir.Node, ...]
    tail: tuple[ir.Node, ...]
    refusals: tuple[Refusal, ...]
    typed_inputs: dict[str, str]
    rewritten: tuple[str, ...] = ()
    excesses: tuple[Excess, ...] = ()

    @cached_property
    def producers(self) -> dict[str, Block]:
        """The block that makes each tensor."""
        return {name: block for block in self.blocks for name in block.outputs}

    @cached_property
    def consumers(self) -> dict[str, list[tuple[Block, int]]]:
        """The blocks that read each tensor, with the position among their inputs."""
        found: dict[str, list[tuple[Block, int]]] = {}
        for block in self.blocks:
            for index, name in enumerate(block.inputs):
                found.setdefault(name, []).append((block, index))
        return found

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Tensors that enter the chip."""
        return tuple(name for name in self.consumers if name not in self.producers)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Tensors that leave the chip: outputs of the model, or read by the host."""
        read = {value.name for node in self.tail for value in node.inputs if value is not None}
        read |= {value.name for value in self.model.graph.outputs}
        return tuple(name for block in self.blocks for name in block.outputs if name in read)

    def is_cut_off(self, name: str) -> bool:
        """Whether only layers that clip a tensor read it: then what passes them decides its scale."""
        readers = self.consumers.get(name, [])
        return bool(readers) and name not in self.outputs and all(block.pattern.cuts_off for block, _ in readers)

    @cached_property
    def values(self) -> dict[str, ir.Value]:
        """Every value of the graph by name."""
        graph = self.model.graph
        made = [value for node in graph for value in node.outputs]
        return {value.name or "": value for value in [*graph.inputs, *made, *graph.initializers.values()]}

    def reads_input(self, block: Block) -> bool:
        """Whether a block is at the chip's entrance: it reads what enters, brought into another form at the most."""
        makers = [self.producers[name] for name in block.inputs if name in self.producers]
        moves = [x for x in makers if x.pattern.entrance or x.only_moves]
        return any(name in self.inputs for name in block.inputs) or any(map(self.reads_input, moves))

    @property
    def edges(self) -> tuple[str, ...]:
        """Every tensor at a block's edge: those that need quantization parameters."""
        return tuple(dict.fromkeys([*self.inputs, *(name for block in self.blocks for name in block.outputs)]))


def partition(model: ir.Model, target: Target, config: Config, extra: Sequence[type[Pattern]] = ()) -> Plan:
    """Divide a canonical model into blocks.

    Args:
        model: canonical (see docs/canonical-form.md).
        target: the chip.
        config: ``until`` and ``from_node`` are heeded here.
        extra: patterns of other packages for this target, tried first.

    Raises:
        QuaintError: QT310 with every layer that the chip lacks and its reason, where the host may not run it, or most of the
            work for no other reason than the chip's limits; QT301 where nothing is left to quantize; QP511 for a node that
            does not exist.
    """
    nodes = list(model.graph)
    after, before = _after(nodes, config.until), _before(nodes, config.from_node)
    typed = _typed_inputs(model)
    casts = {node for node in nodes if node.outputs[0].name in typed}
    wanted = [node for node in nodes if node not in after and node not in before and node not in casts]
    claimed, refusals, exceeding = _claim(
        wanted, [cls() for cls in (*extra, *target.patterns)], CheckContext(target, config)
    )
    refusals = [refusal for refusal in refusals if refusal.op not in target.host]
    blocks, tail, late = _cut(nodes, claimed, before | casts)
    head = tuple(node for node in nodes if node in before and node not in casts)
    excesses = tuple(excess for block in blocks for excess in exceeding[block])
    plan = Plan(model, target, config, blocks, head, tail, tuple(refusals), typed, excesses=excesses)
    if target.check and blocks:
        found = tuple(target.check(plan))
        beyond = tuple(x for x in found if isinstance(x, Excess)) if config.beyond_hardware else ()
        if len(found) > len(beyond):
            raise refused(target.name, [*refusals, *found])
        plan = replace(plan, excesses=(*excesses, *beyond))
    _enforce(plan, late, after)
    return plan


def _enforce(plan: Plan, late: Sequence[Block], wished: set[ir.Node]) -> None:
    """Refuse what may not run on the host.

    Args:
        plan: the division.
        late: blocks that come after a layer on the host.
        wished: nodes that shall run on the host.
    """
    target = plan.target
    if ANY in target.host:
        share = _lost_share(plan, wished)
        if plan.blocks and share > HOST_SHARE:
            consequence = f", which would leave {share:.0%} of its multiply-accumulates to the host"
            raise refused(target.name, plan.refusals, consequence)
    else:
        following = [
            Refusal(block.name, block.nodes[0].op_type, "comes after a layer that runs on the host")
            for block in late
            if any(node.op_type not in target.host for node in block.nodes)
        ]
        if plan.refusals or following:
            raise refused(target.name, plan.refusals or following)
    if not plan.blocks:
        total = len(list(plan.model.graph))
        if plan.refusals:
            raise refused(target.name, plan.refusals)
        raise QuaintError(
            "QT301", f"0 of {total} nodes can be quantized for {target.name}", hint="nothing is left for the chip"
        )


def _lost_share(plan: Plan, wished: set[ir.Node]) -> float:
    """Share of the multiply-accumulates that broken limits keep from the chip; what a missing layer keeps from it is none."""
    missing = {refusal.node for refusal in plan.refusals if isinstance(refusal, Missing)}
    gone = set(wished)
    for node in plan.tail:
        if node.name in missing or any(value is not None and value.producer() in gone for value in node.inputs):
            gone.add(node)
    tail, done = set(plan.tail), macs(node for block in plan.blocks for node in block.nodes)
    return macs(tail - gone) / (macs(tail - wished) + done or 1)


def _claim(
    nodes: Sequence[ir.Node], patterns: Sequence[Pattern], context: CheckContext
) -> tuple[list[Block], list[Refusal], dict[Block, list[Excess]]]:
    """Cover ``nodes`` with blocks from the outputs upwards; the first pattern that fits and passes its check wins.

    Returns:
        The blocks, what is refused, and by block which limits of the hardware it exceeds.
    """
    allowed = set(nodes)
    claimed: set[ir.Node] = set()
    reasons: dict[ir.Node, str] = {}
    part_of: dict[ir.Node, ir.Node] = {}
    blocks: dict[Block, list[Excess]] = {}
    for node in reversed(nodes):
        if node in claimed:
            continue
        for block in (block for pattern in patterns for block in pattern.matches(node)):
            if not all(inner in allowed and inner not in claimed for inner in block.nodes):
                continue
            attempt = replace(context, claimed=claimed, reasons=[], excesses=[])
            if block.pattern.check(attempt, block=block, **block.bindings):
                blocks[block] = [Excess(block.name, block.nodes[0].op_type, text) for text in attempt.excesses]
                claimed.update(block.nodes)
                break
            main = block.nodes[0]
            part_of.update((inner, main) for inner in block.nodes[1:] if inner not in part_of)
            for unfit in (main, node) if attempt.reasons else ():
                reasons.setdefault(unfit, "; ".join(attempt.reasons))
    refusals = [
        Refusal(node.name or "", node.op_type, reasons[node])
        if node in reasons
        else Missing(node.name or "", node.op_type, f"the chip has no layer for {node.op_type} here")
        for node in nodes
        if node not in claimed and (node not in part_of or part_of[node] in claimed)
    ]
    return [*blocks][::-1], refusals, blocks


def _cut(
    nodes: Sequence[ir.Node], blocks: Sequence[Block], outside: set[ir.Node]
) -> tuple[tuple[Block, ...], tuple[ir.Node, ...], list[Block]]:
    """Blocks that depend on no unclaimed node, the float nodes after them, and the blocks that came too late."""
    owner = {node: block for block in blocks for node in block.nodes}
    last = {block.nodes[-1]: block for block in blocks}
    floating: set[ir.Node] = set()
    kept: list[Block] = []
    late: list[Block] = []
    for node in nodes:
        if node in outside or (node in owner and node not in last):
            continue
        members = last[node].nodes if node in last else (node,)
        sources = {value.producer() for member in members for value in member.inputs if value is not None}
        if node not in last or sources & floating:
            floating.update(members)
            if node in last:
                late.append(last[node])
        else:
            kept.append(last[node])
    return tuple(kept), tuple(node for node in nodes if node in floating), late


def _typed_inputs(model: ir.Model) -> dict[str, str]:
    """Casts of integer graph inputs to float: the chip takes the integers as they are."""
    return {
        node.outputs[0].name or "": value.name or ""
        for value in model.graph.inputs
        for node, _ in value.uses()
        if node.op_type == "Cast" and value.dtype is not None and value.dtype.is_integer()
    }


def _named(nodes: Iterable[ir.Node], name: str) -> ir.Node:
    for node in nodes:
        if node.name == name:
            return node
    known = [node.name or "" for node in nodes]
    raise QuaintError("QP511", f"no node is called {name!r}", hint=did_you_mean(name, known))


def _after(nodes: Sequence[ir.Node], until: str | None) -> set[ir.Node]:
    """Nodes that ``until`` does not need."""
    if until is None:
        return set()
    needed = {_named(nodes, until)}
    for node in reversed(nodes):
        if any(user in needed for value in node.outputs for user, _ in value.uses()):
            needed.add(node)
    return set(nodes) - needed


def _before(nodes: Sequence[ir.Node], first: str | None) -> set[ir.Node]:
    """Nodes that do not depend on ``first``."""
    if first is None:
        return set()
    dependent = {_named(nodes, first)}
    for node in nodes:
        if any(value is not None and value.producer() in dependent for value in node.inputs):
            dependent.add(node)
    return set(nodes) - dependent
