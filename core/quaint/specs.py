"""How every tensor at a block's edge shall be quantized: the target's rule, the wishes, and what the layers ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quaint.errors import QuaintError
from quaint.numerics import IntType, QuantSpec
from quaint.patterns import Block, CheckContext

if TYPE_CHECKING:
    from quaint.config import Config
    from quaint.partition import Plan
    from quaint.target import Target


def resolve_specs(plan: Plan) -> dict[str, QuantSpec | None]:
    """Spec of each tensor of ``plan.edges``; None where the layer that makes it derives its parameters.

    A tensor's spec starts from the target's rule under the configuration, goes through the layer that makes it and then
    through every layer that reads it.

    Raises:
        QuaintError: QT340 for a width or an input type that the target lacks.
    """
    context = CheckContext(plan.target, plan.config)
    specs: dict[str, QuantSpec | None] = {}
    for name in plan.edges:
        block = plan.producers.get(name)
        spec: QuantSpec | None
        if block is None:
            spec = _input_spec(plan, name)
        else:
            spec = block.pattern.output_spec(activation_spec(plan.target, plan.config, block), block, context)
        for reader, index in plan.consumers.get(name, []):
            if spec is not None:
                spec = reader.pattern.input_spec(spec, reader, index, context)
        specs[name] = spec
    return specs


def activation_spec(target: Target, config: Config, block: Block) -> QuantSpec:
    """The target's rule for activations under the wishes for ``block``."""
    wishes = {"activation_bits": config.activation_bits, "per_tensor_activations": config.per_tensor_activations}
    given = config.for_layer(block.node_names)
    wishes |= {"activation_bits": given["bits"]} if "bits" in given else {}
    wishes |= {"observer": config.observer, **given}
    return _apply(target.activation, wishes, "activation_bits", target)


def weight_spec(target: Target, config: Config, block: Block, *, reads_input: bool) -> QuantSpec:
    """The target's rule for weights under the wishes for ``block``."""
    bits = config.input_weight_bits if reads_input and config.input_weight_bits else config.weight_bits
    given = config.for_layer(block.node_names)
    bits = given.get("weight_bits", given.get("bits", bits))
    return _apply(target.weight, {"weight_bits": bits}, "weight_bits", target)


def _apply(spec: QuantSpec, wishes: Mapping[str, Any], key: str, target: Target) -> QuantSpec:
    bits = wishes.get(key)
    if bits is not None:
        allowed = getattr(target, key)
        if bits not in allowed:
            listed = ", ".join(map(str, allowed))
            raise QuaintError("QT340", f"{target.name} has no {key.replace('_', ' ')} of {bits}", hint=f"it has {listed}")
        spec = replace(spec, dtype=IntType(bits, spec.dtype.signed))
    if wishes.get("per_tensor_activations"):
        spec = replace(spec, axis=None)
    if wishes.get("observer"):
        spec = replace(spec, observer=wishes["observer"])
    return spec


def _input_spec(plan: Plan, name: str) -> QuantSpec:
    target, wish = plan.target, plan.config.input_dtype
    spec = target.input or target.activation
    if wish in {None, "float32"}:
        return spec
    if wish not in target.input_dtypes:
        listed = ", ".join(target.input_dtypes)
        raise QuaintError("QT340", f"{target.name} takes no {wish} input", where=f"input {name!r}", hint=f"it takes {listed}")
    return replace(spec, dtype=IntType.parse(wish))
