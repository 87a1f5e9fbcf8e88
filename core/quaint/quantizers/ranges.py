"""The plain quantizer: scales straight from the observed ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quaint.numerics import QuantParams
from quaint.patterns import Sharing
from quaint.scales import Range, from_range

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from quaint.numerics import QuantSpec
    from quaint.partition import Plan


class Ranges:
    """Chooses what the ranges say; changes no weights.

    Attributes:
        samples: how many it wants to be prepared with.
    """

    samples: int = 0

    def prepare(self, plan: Plan, samples: Mapping[str, NDArray[Any]]) -> None:
        """Change the weights of ``plan.model`` before calibration; here nothing.

        Args:
            plan: the divided model.
            samples: the first ones of those that calibration will see, by input: as many as it wants if there are, else all.
        """

    def choose(
        self, plan: Plan, specs: Mapping[str, QuantSpec | None], ranges: Mapping[str, Range]
    ) -> dict[str, QuantParams]:
        """Parameters of every edge that has a spec; tensors that must share them get one range together."""
        shared = share(plan, specs)
        members: dict[str, list[str]] = {}
        for name, leader in shared.items():
            members.setdefault(leader, []).append(name)
        chosen: dict[str, QuantParams] = {}
        for leader, names in members.items():
            spec = specs[leader]
            if spec is None:
                continue
            if leader in plan.typed_inputs:
                params = _typed(plan, leader)
            else:
                seen = [ranges[name] for name in names if not plan.is_cut_off(name)]
                makers = [plan.producers[name] for name in names if name in plan.producers]
                seen += [held for block in makers if (held := block.pattern.reach(block, ranges)) is not None]
                low = np.min([np.min(r.low) if spec.axis is None else r.low for r in seen], axis=0)
                high = np.max([np.max(r.high) if spec.axis is None else r.high for r in seen], axis=0)
                params = from_range(spec, Range(low, high))
            chosen |= dict.fromkeys(names, params)
        return chosen

    def refine(
        self,
        plan: Plan,  # noqa: ARG002
        params: Mapping[str, QuantParams],
        ranges: Mapping[str, Range],  # noqa: ARG002
    ) -> dict[str, QuantParams]:
        """Improve on the parameters once all are chosen, or fit the weights of ``plan.model`` to them; here nothing.

        An entry ``LAYER/weight`` in the result settles how the weights of a layer are quantized.
        """
        return dict(params)


class Steps(Ranges):
    """Quantizers one after the other: the first one chooses the parameters, and each then improves on them.

    Args:
        steps: one or more.
    """

    def __init__(self, steps: Sequence[Ranges]) -> None:
        self.steps = tuple(steps)
        self.samples = max(step.samples for step in self.steps)

    def prepare(self, plan: Plan, samples: Mapping[str, NDArray[Any]]) -> None:
        """Each changes the weights in turn."""
        for step in self.steps:
            step.prepare(plan, samples)

    def choose(
        self, plan: Plan, specs: Mapping[str, QuantSpec | None], ranges: Mapping[str, Range]
    ) -> dict[str, QuantParams]:
        """Parameters of the first, improved on by all."""
        params = self.steps[0].choose(plan, specs, ranges)
        for step in self.steps:
            params = step.refine(plan, params, ranges)
        return params


def _typed(plan: Plan, name: str) -> QuantParams:
    """A model input that is integer already: one step is 1."""
    from quaint.numerics import IntType

    dtype = plan.values[plan.typed_inputs[name]].dtype
    return QuantParams(np.ones(()), IntType.parse(str(dtype).lower()))


def share(plan: Plan, specs: Mapping[str, QuantSpec | None]) -> dict[str, str]:
    """For each edge the tensor that leads its group: all tensors of a group have one scale.

    An output that must be as its input joins the input's group. An input that must be as its output joins the output's,
    if this layer alone reads it and a layer of free scale makes it; elsewhere the layer's lowering converts it. The outputs
    of one layer are on one scale, but for those that its lowering derives.
    """
    leader = {name: name for name in plan.edges}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for block in plan.blocks:
        out, *others = block.outputs
        for other in (name for name in others if specs[name] is not None):
            leader[find(other)] = find(out)
        if block.pattern.sharing is Sharing.OUTPUT_AS_INPUT:
            leader[find(out)] = find(block.inputs[0])
    for block in plan.blocks:
        if block.pattern.sharing is not Sharing.INPUTS_AS_OUTPUT:
            continue
        out = find(block.outputs[0])
        for name in block.inputs:
            maker = plan.producers.get(name)
            free = maker is not None and maker.pattern.sharing is not Sharing.OUTPUT_AS_INPUT
            alone = len(plan.consumers[name]) == 1 and name not in plan.outputs
            if free and alone and specs[name] == specs[out]:
                leader[find(name)] = out
    return {name: find(name) for name in plan.edges}
