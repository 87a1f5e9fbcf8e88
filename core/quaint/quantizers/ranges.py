"""The plain quantizer: scales straight from the observed ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from quaint.calibrate import Range
from quaint.numerics import FixedPoint, QuantParams, ScaleKind
from quaint.patterns import Sharing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quaint.numerics import QuantSpec
    from quaint.partition import Plan


class Ranges:
    """Chooses what the ranges say; changes no weights."""

    def prepare(self, plan: Plan) -> None:
        """Change the weights of ``plan.model`` before calibration; here nothing."""

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
                seen = [ranges[name] for name in names if not _is_cut_off(plan, name)]
                low = np.min([np.min(r.low) if spec.axis is None else r.low for r in seen], axis=0)
                high = np.max([np.max(r.high) if spec.axis is None else r.high for r in seen], axis=0)
                params = from_range(spec, Range(low, high))
            chosen |= dict.fromkeys(names, params)
        return chosen


def _is_cut_off(plan: Plan, name: str) -> bool:
    """Whether only layers that clip a tensor read it."""
    readers = plan.consumers.get(name, [])
    return bool(readers) and name not in plan.outputs and all(block.pattern.cuts_off for block, _ in readers)


def _typed(plan: Plan, name: str) -> QuantParams:
    """A model input that is integer already: one step is 1."""
    from quaint.numerics import IntType

    dtype = plan.values[plan.typed_inputs[name]].dtype
    return QuantParams(np.ones(()), IntType.parse(str(dtype).lower()))


def share(plan: Plan, specs: Mapping[str, QuantSpec | None]) -> dict[str, str]:
    """For each edge the tensor that leads its group: all tensors of a group have one scale.

    An output that must be as its input joins the input's group. An input that must be as its output joins the output's,
    if this layer alone reads it and a layer of free scale makes it; elsewhere the layer's lowering converts it.
    """
    leader = {name: name for name in plan.edges}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for block in plan.blocks:
        out = block.outputs[0]
        if block.pattern.sharing is Sharing.OUTPUT_AS_INPUT:
            leader[find(out)] = find(block.inputs[0])
    for block in plan.blocks:
        if block.pattern.sharing is not Sharing.INPUTS_AS_OUTPUT:
            continue
        out = find(block.outputs[0])
        for name in block.inputs:
            maker = plan.producers.get(name)
            free = maker is not None and maker.pattern.sharing is Sharing.NONE
            alone = len(plan.consumers[name]) == 1 and name not in plan.outputs
            if free and alone and specs[name] == specs[out]:
                leader[find(name)] = out
    return {name: find(name) for name in plan.edges}


def from_range(spec: QuantSpec, seen: Range) -> QuantParams:
    """Parameters that cover a range under a spec.

    Symmetric: ``scale = limit / high`` with the largest magnitude ``limit``; power-of-two scales divide by half the width of
    the integers (127.5 at 8 bits) and round the exponent; fixed-point scales are ``2**-FixedPoint.bits_for(limit)``.
    Asymmetric: the range, widened to hold zero, over the width. A tensor that is always zero gets scale 1, a channel that is
    always zero the least scale of the others, so that it outweighs none of them in the next layer.
    """
    dtype = spec.dtype
    if not spec.symmetric:
        low, high = np.minimum(seen.low, 0), np.maximum(seen.high, 0)
        scale = _single(_filled((high - low) / (dtype.high - dtype.low)))
        return QuantParams(scale, dtype, np.rint(dtype.low - low / scale).astype(np.int64), spec.axis)
    limit = np.maximum(np.abs(seen.low), np.abs(seen.high)) if dtype.signed else np.maximum(seen.high, 0)
    if spec.scale is ScaleKind.FIXED_POINT:
        return QuantParams(np.exp2(-FixedPoint.bits_for(_filled(limit), dtype)), dtype, axis=spec.axis)
    steps = (dtype.high - dtype.low) / 2 if dtype.signed and spec.scale is not ScaleKind.FLOAT else dtype.high
    scale = _single(_filled(limit / steps))
    if spec.scale is not ScaleKind.FLOAT:
        scale = power_of_two(scale, nearest=spec.round_exponent == "nearest")
    return QuantParams(scale, dtype, axis=spec.axis)


def _filled(scale: np.ndarray) -> np.ndarray:
    """Scales with a stand-in for those that are zero."""
    alive = scale[scale > 0]
    return np.asarray(np.where(scale > 0, scale, alive.min() if alive.size else 1.0))


def _single(scale: np.ndarray) -> np.ndarray:
    """Scales as float32 has them, since that is how files store them; so large that products of scales stay normal numbers."""
    return np.asarray(np.maximum(scale, 2.0**-64).astype(np.float32), np.float64)


def power_of_two(scale: np.ndarray, *, nearest: bool = False) -> np.ndarray:
    """The power of two at or above each scale, or the nearest on the logarithmic axis (half up)."""
    if nearest:
        return np.asarray(np.exp2(np.floor(np.log2(scale) + 0.5)))
    mantissa, exponent = np.frexp(scale)
    return np.asarray(np.ldexp(1.0, exponent - (mantissa == 0.5)))
